"""Answers of OpenAI Responses: the last event of a stream holds the whole answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from headroom.dialects.answers import AnswerForm, Event, frame, objects, part, parts
from headroom.model import Call

_WORDS = ("message", "reasoning")


class ResponsesAnswers(AnswerForm):
    def tells_usage(self, call: Call) -> bool:
        return True

    def usage_told(self, whole: Event) -> bool:
        return bool(part(whole, "usage"))

    def whole(self, events: Sequence[bytes]) -> Event | None:
        told = objects(events[-1:])
        return part(told[0], "response") or None if told and told[0].get("type") == "response.completed" else None

    def is_final(self, whole: Event) -> bool:
        output = parts(whole, "output")
        said = [content for item in output if item.get("type") == "message" for content in parts(item, "content")]
        return (
            whole.get("status") == "completed"
            and not (whole.get("error") or whole.get("incomplete_details"))
            and all(item.get("type") in _WORDS for item in output)
            and all(content.get("type") == "output_text" for content in said)
            and any(content.get("text") for content in said)
        )

    def events(self, whole: Event, usage: bool) -> Iterator[bytes]:
        numbers = count()

        def event(kind: str, **more: Any) -> bytes:
            return frame({"type": kind, "sequence_number": next(numbers), **more}, kind)

        begun = {**whole, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        for index, item in enumerate(parts(whole, "output")):
            contents = parts(item, "content") if item.get("type") == "message" else []
            empty = {**item, "status": "in_progress", "content": []} if contents else {**item}
            if item.get("summary"):
                empty["summary"] = []
            yield event("response.output_item.added", output_index=index, item=empty)
            for place, summary in enumerate(parts(item, "summary") if item.get("type") == "reasoning" else ()):
                at = {"item_id": item.get("id", ""), "output_index": index, "summary_index": place}
                text = summary.get("text", "")
                yield event("response.reasoning_summary_part.added", **at, part={**summary, "text": ""})
                yield event("response.reasoning_summary_text.delta", **at, delta=text)
                yield event("response.reasoning_summary_text.done", **at, text=text)
                yield event("response.reasoning_summary_part.done", **at, part=summary)
            for place, content in enumerate(contents):
                at = {"item_id": item.get("id", ""), "output_index": index, "content_index": place}
                text = content.get("text", "")
                yield event("response.content_part.added", **at, part={**content, "text": "", "annotations": []})
                yield event("response.output_text.delta", **at, delta=text, logprobs=content.get("logprobs") or [])
                for number, annotation in enumerate(parts(content, "annotations")):
                    yield event("response.output_text.annotation.added", **at, annotation_index=number, annotation=annotation)
                yield event("response.output_text.done", **at, text=text, logprobs=content.get("logprobs") or [])
                yield event("response.content_part.done", **at, part=content)
            yield event("response.output_item.done", output_index=index, item=item)
        yield event("response.completed", response=whole)
