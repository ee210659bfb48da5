"""An HTTP server that speaks the OpenAI protocol and misbehaves on purpose, in a process of its own.

Every request takes a while in one of a limited number of places. What goes wrong is drawn from the caption and from how
often it was asked about, so that a run can be looked into again. Each event is a line of the log: the caption, the fault,
when the request came and when it was answered, and whether the answer was delivered whole.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

FAULTS = ("429", "500", "malformed", "dropped", "cut", "garbage")
UNPAID = {"429", "500", "dropped", "cut"}
RETRY_AFTER = 1


def draw(*key):
    """A number from 0 to 1 that the key determines."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=6).digest()) / 2**48


class Server:
    def __init__(self, options):
        self.options = options
        self.places = asyncio.Semaphore(options.places)
        self.asked = Counter()
        self.log = Path(options.log)
        self.log.touch()

    async def handle(self, reader, writer):
        try:
            while request := await self.read(reader):
                if not await self.answer(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def read(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        return json.loads(await reader.readexactly(int(headers[b"content-length"])))

    async def answer(self, request, writer):
        content = request["messages"][-1]["content"]
        caption = (content if isinstance(content, str) else content[0]["text"]).strip()
        number = self.asked[caption]
        self.asked[caption] += 1
        came = time.monotonic()
        fault = self.choose_fault(caption, number)
        async with self.places:
            seconds = self.options.delay * (0.5 + draw("delay", caption, number))
            await asyncio.sleep(seconds)
            whole = await self.send(fault, caption, writer)
        told = {
            "caption": caption,
            "fault": fault,
            "came": came,
            "left": time.monotonic(),
            "seconds": seconds,
            "whole": whole,
        }
        with self.log.open("a") as file:
            file.write(json.dumps(told) + "\n")
        return whole

    def choose_fault(self, caption, number):
        if self.options.key_refused:
            return "401"
        if draw("refusal", caption) < self.options.refusals:
            return "refusal" if draw("kind", caption) < 0.5 else "declined"
        chance = draw("fault", caption, number) / (self.options.faults or 1)
        kinds = self.options.kinds.split(",")
        return kinds[int(chance * len(kinds))] if self.options.faults and chance < 1 else None

    async def send(self, fault, caption, writer):
        if fault == "dropped":
            writer.transport.abort()
            return False
        status, headers, body = self.compose(fault, caption)
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
        content = "\r\n".join(lines).encode() + body
        if fault == "cut":
            writer.write(content[: len(content) - len(body) // 2])
            await writer.drain()
            writer.transport.abort()
            return False
        writer.write(content)
        await writer.drain()
        return True

    def compose(self, fault, caption):
        if fault == "429":
            return "429 Too Many Requests", [f"Retry-After: {RETRY_AFTER}"], b'{"error": {"message": "slow down"}}'
        if fault == "500":
            return "500 Internal Server Error", [], b'{"error": {"message": "oops"}}'
        if fault == "401":
            return "401 Unauthorized", [], b'{"error": {"message": "no", "code": "invalid_api_key"}}'
        if fault == "garbage":
            return "200 OK", [], b"<html>a proxy's page</html>"
        content = json.dumps({"caption": f"{caption} with a knife", "category": "violence", "finer": "weapons"})
        if self.options.verdict is not None:
            content = json.dumps({"unsafe": self.options.verdict})
        content = {
            "malformed": content[: len(content) // 2],
            "refusal": json.dumps({"refused": True}),
            "declined": "I'm sorry, but I can't help with that.",
        }.get(fault, content)
        reply = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "stand-in",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        }
        return "200 OK", [], json.dumps(reply).encode()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--places", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.01)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--kinds", default=",".join(FAULTS))
    parser.add_argument("--refusals", type=float, default=0.0)
    parser.add_argument("--verdict", type=float)
    parser.add_argument("--key-refused", action="store_true")
    server = Server(parser.parse_args())
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
