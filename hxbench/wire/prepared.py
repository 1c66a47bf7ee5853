"""Bodies of requests prepared once a prompt: what differs from one to the next is put in afterwards.

The dialect's `body` stays the only definition of what is sent: it is asked once, with marks in place of
salt, max_tokens and seed, and where the marks turn up, and only there, the values go.
"""

import re
from collections.abc import Callable
from itertools import count

Make = Callable[[str, int, int], bytes]  # salt, max_tokens, seed


def prepared(make: Make) -> Make:
    """Returns what makes the same bodies as `make` does, some ten times faster.

    A salt is text that stands in JSON as it is; `make` passes on each value unchanged, or not at all.
    """
    unmarked = make("", 0, 0)
    unused = (number for number in count(10**15) if b"%d" % number not in unmarked)
    salt, max_tokens, seed = next(unused), next(unused), next(unused)
    places = {b"%d" % salt: b"%(salt)b", b"%d" % max_tokens: b"%(max_tokens)d", b"%d" % seed: b"%(seed)d"}
    parts = re.split(b"(%b)" % b"|".join(places), make(str(salt), max_tokens, seed))
    template = b"".join(places.get(part) or part.replace(b"%", b"%%") for part in parts)
    return lambda salt, max_tokens, seed: template % {
        b"salt": salt.encode(), b"max_tokens": max_tokens, b"seed": seed
    }  # fmt: skip
