"""The runnable in chains of LangChain's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate

from headroom.integrations.langchain import HeadroomRunnable
from tests.integrations.conftest import Kept
from tests.proxy.faces import rows


class Seen(GenericFakeChatModel):
    """A chat model that remembers what it was asked."""

    asked: list[list[BaseMessage]]

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages)
        return super()._generate(messages, *args, **kwargs)


def model(asked: list[list[BaseMessage]]) -> Seen:
    def answers() -> Iterator[AIMessage]:
        while True:
            yield AIMessage("node-3 it is")

    return Seen(messages=answers(), asked=asked)


def conversation(output: Any) -> list[BaseMessage]:
    call = {"name": "list_nodes", "args": {"page": 1}, "id": "c1", "type": "tool_call"}
    return [
        SystemMessage("Be brief."),
        HumanMessage("how busy is node-3?", id="h1"),
        AIMessage("", tool_calls=[call], id="a1"),
        ToolMessage(output, tool_call_id="c1", artifact={"raw": 1}, id="t1"),
    ]


def test_in_a_chain(kept: Kept) -> None:
    asked: list[list[BaseMessage]] = []
    chain = HeadroomRunnable(**kept.keywords) | model(asked)
    assert chain.invoke(conversation(rows(1))).content == "node-3 it is"
    assert asyncio.run(chain.ainvoke(conversation(rows(1)))).content == "node-3 it is"
    assert "".join(str(chunk.content) for chunk in chain.stream(conversation(rows(1)))) == "node-3 it is"
    for messages in asked:
        (*others, result) = messages
        assert others == conversation("")[:-1]
        assert isinstance(result, ToolMessage)
        assert (result.artifact, result.id, result.tool_call_id) == ({"raw": 1}, "t1", "c1")
        assert kept.gives_back(str(result.content), rows(1))


def test_contents_of_blocks(kept: Kept) -> None:
    (block,) = HeadroomRunnable(**kept.keywords).invoke(conversation([{"type": "text", "text": rows(2)}]))[-1].content
    assert isinstance(block, dict)
    assert kept.gives_back(block["text"], rows(2))


def test_every_input_of_a_chat_model(kept: Kept) -> None:
    runnable = HeadroomRunnable(**kept.keywords)
    assert runnable.invoke("hello") == [HumanMessage("hello")]
    assert runnable.invoke([("system", "s"), ("human", "hello")]) == [SystemMessage("s"), HumanMessage("hello")]
    prompt = ChatPromptTemplate.from_messages([("system", "Answer."), ("human", "{data}\n\nwhich is busy?")])
    (_, asked) = (prompt | runnable).invoke({"data": json.dumps(json.loads(rows(3)), indent=2)})
    assert len(str(asked.content)) < len(rows(3))


def test_what_it_was_given_stays(kept: Kept) -> None:
    given = conversation(rows(1))
    HeadroomRunnable(**kept.keywords).invoke(given)
    assert given == conversation(rows(1))
