"""Pure: bytes in, events out. HTTP framing, server-sent events, API dialects."""
