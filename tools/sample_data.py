"""Writes the shipped prompts of four classes and the two shipped traces: `python -m tools.sample_data`.

The same bytes each time: what is drawn comes from one seed, and from `random()` alone, whose sequence Python
keeps from version to version.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

SEED = 42
Line = dict[str, Any]

# What is asked about, and for the complex ones what it is held against.
TOPICS = {
    "a public library": "a bookshop", "the tides of the sea": "the weather on land",
    "a bicycle's gears": "a car's gearbox", "bread from sourdough": "bread from dried yeast",
    "a city's drinking water": "water from a private well", "migrating birds": "animals that hibernate",
    "paper recycling": "burning waste for heat", "a solar panel": "a wind turbine",
    "a beehive in summer": "an ant hill", "railway signals": "traffic lights in a town",
    "the phases of the moon": "the seasons of the year", "a hospital's night shift": "a school's office",
    "glass windows": "brick walls", "a mountain rescue": "a coast guard at sea",
    "a village market": "a supermarket", "the postal service": "electronic mail",
}  # fmt: skip
TOKENS = {
    "short": (50, 150),
    "medium": (150, 300),
    "long": (300, 500),
    "complex": (500, 1000),
}  # of an answer
WAYS = {
    "short": (
        "Say in a few sentences what one should know first about {}.",
        "What surprises most people about {}, and why?",
        "Describe {} to a child of eight.",
        "Name three facts about {} and explain one of them.",
    ),
    "medium": (
        "Explain how {} works today and what has changed since the time of our grandparents. Give one "
        "example from daily life.",
        "Write two paragraphs about {}: the first on what goes well, the second on what often goes wrong.",
        "A friend will spend a week learning about {}. What should be looked at on each day, and in which "
        "order?",
        "What do people who work with {} need to know, and how could they learn it in half a year?",
    ),
    "long": (
        "Write an article for a local newspaper about {}. Begin with a scene, then explain the background,"
        " let two people with different opinions speak, and end with what the reader can do.",
        "Explain {} step by step to somebody who has to take care of it from tomorrow on. Say for each "
        "step what is done, why it is done, and how one notices that it went wrong.",
        "Describe a full day that has to do with {}, from early morning to late night, hour by hour, and "
        "say at each point what is decided and by whom.",
        "Give an overview of {}: its parts, how they depend on each other, what it costs to keep, and "
        "which of its problems are not solved. Use headings and short lists.",
    ),
    "complex": (
        "Compare {} with {}. First agree on five criteria and give each a weight that adds up to one "
        "hundred. Then rate both on each criterion with a reason, work out the totals, and say how the "
        "result changes when the most important criterion loses half of its weight.",
        "A town with thirty thousand people must decide within a year whether to put its money into {} or "
        "into {}. Write the report for the council: the question, the assumptions, costs and benefits over"
        " ten years in a table, the three largest risks with what could be done about each, and a "
        "recommendation.",
        "Somebody claims that {} will be replaced by {} before long. Set out the strongest case for this "
        "claim and the strongest case against it, point out which of the arguments rest on facts that "
        "could be checked, plan how to check two of them, and conclude with how sure you are.",
        "Design a course of six lessons that leads from {} to {}. For each lesson give its aim, what is "
        "explained, an exercise with its solution, and a question for an examination. Then say which "
        "lesson could be left out if there were time for five only, and what the others would have to take"
        " over.",
    ),
}
QUESTIONS = (
    "How do I keep bread fresh for longer?",
    "Explain what a tide is.",
    "What is a good name for a grey cat?",
    "Say in one sentence what a proxy server does.",
    "Write a short thank-you note to a teacher.",
    "Which three things should be in a first-aid kit?",
)
BLOCK = 512  # tokens of a block in Mooncake's traces


def mixed() -> Iterator[Line]:
    """Yields sixteen prompts of each class of R12.1."""
    for name, ways in WAYS.items():
        tokens = {"distribution": "uniform", "from": TOKENS[name][0], "to": TOKENS[name][1]}
        for number, (topic, other) in enumerate(TOPICS.items()):
            text = ways[number % len(ways)].format(topic, other)
            yield {
                "id": f"mixed-{name}-{number + 1:02d}",
                "class": name,
                "prompt": text,
                "max_tokens": tokens,
            }


def sample(draw: Random) -> Iterator[Line]:
    """Yields thirty requests within fifty seconds: questions, chats and long documents in turn."""
    for number, at in enumerate(sorted(50 * draw.random() for _ in range(30))):
        line: Line = {"at": f"{at:.2f} s"}
        question = QUESTIONS[_whole(draw, 0, len(QUESTIONS) - 1)]
        match number % 3:
            case 0:
                line |= {"class": "question", "prompt": question}
            case 1:
                says = (("system", "Answer briefly."), ("user", question))
                line |= {
                    "class": "chat",
                    "messages": [{"role": role, "content": content} for role, content in says],
                }
            case _:
                line |= {"class": "document", "prompt_tokens": _whole(draw, 100, 360)}
        yield line | {"max_tokens": _whole(draw, 4, 24)}


def mooncake(draw: Random) -> Iterator[Line]:
    """Yields ten requests in Mooncake's form, a first block shared by all, some seconds apart."""
    due_ms, block = 0, 0
    for _ in range(10):
        due_ms += _whole(draw, 5000, 9000)
        length = BLOCK + _whole(draw, 16, 900)
        own = math.ceil(length / BLOCK) - 1
        yield {
            "timestamp": due_ms,
            "input_length": length,
            "output_length": _whole(draw, 5, 12),
            "hash_ids": [0, *range(block + 1, block + own + 1)],
        }
        block += own


def _whole(draw: Random, least: int, most: int) -> int:
    return least + int(draw.random() * (most - least + 1))


def files() -> dict[str, str]:
    """Returns what each file below data/ holds."""
    made = {
        "prompts/mixed.jsonl": mixed(),
        "traces/sample.jsonl": sample(Random(SEED)),  # noqa: S311 - nothing secret
        "traces/mooncake.jsonl": mooncake(Random(SEED)),  # noqa: S311 - likewise
    }
    return {name: "".join(f"{json.dumps(line)}\n" for line in lines) for name, lines in made.items()}


def main() -> None:
    for name, text in files().items():
        path = Path("data") / name
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {text.count(chr(10))} lines")


if __name__ == "__main__":
    main()
