"""Small inputs that several tests write."""

import json


def write_captions(path, count):
    """A table of captions that differ in a number only."""
    rows = [{"id": str(number), "caption": f"a dog number {number} in the park"} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
