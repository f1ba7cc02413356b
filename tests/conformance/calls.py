"""Every call of the recording, against an API of its own; prints the result's class and status as JSON."""

import json
from collections.abc import Iterator

import dashscope
from dashscope import Assistants, Messages, Runs, Steps, Threads
from dashscope.assistants.files import Files as AssistantFiles
from dashscope.threads.messages.files import Files as MessageFiles

A, T, R, S, M, F = "asst_1", "thread_1", "run_1", "step_1", "message_1", "file_1"
HI = [{"role": "user", "content": "hi"}]
PAIR = {"k": "v"}
BIG_ADD = {
    "name": "big_add",
    "description": "Add",
    "parameters": {"type": "object", "properties": {"left": {"type": "integer"}}, "required": ["left"]},
}
TOOLS = [{"type": "quark_search"}, {"type": "function", "function": BIG_ADD}]
LAST = {"type": "last_messages", "last_messages": 10}
EVERYTHING = {"model": "qwen-max", "name": "绘画 helper", "description": "d", "instructions": "i"}
SAMPLING = {"top_p": 0.5, "top_k": 10, "temperature": 1.0, "max_tokens": 2048}
FOR_RUN = {"model": "qwen-plus", "instructions": "i", "additional_instructions": "ai", "top_p": 0.5, "top_k": 1}

CALLS = [
    lambda: Assistants.create(model="qwen-max"),
    lambda: Assistants.create(**EVERYTHING, tools=TOOLS, metadata=PAIR, workspace="ws-1", **SAMPLING),
    lambda: Assistants.list(),
    lambda: Assistants.list(limit=2, order="desc", after="asst_a", before="asst_b"),
    lambda: Assistants.retrieve(A),
    lambda: Assistants.update(A, model="qwen-plus"),
    lambda: Assistants.update(A, tools=[]),
    lambda: Assistants.delete(A),
    lambda: Threads.create(),
    lambda: Threads.create(messages=HI, metadata=PAIR),
    lambda: Threads.create(assistant_id=A, messages=HI),
    lambda: Threads.retrieve(T),
    lambda: Threads.update(T, metadata=PAIR),
    lambda: Threads.delete(T),
    lambda: Threads.create_and_run(assistant_id=A, thread={"messages": HI}),
    lambda: Messages.create(T, content="hi"),
    lambda: Messages.create(T, content="hi", role="user", file_ids=["f1"], metadata=PAIR),
    lambda: Messages.list(T),
    lambda: Messages.list(T, limit=2, order="asc"),
    lambda: Messages.retrieve(M, thread_id=T),
    lambda: Messages.update(M, thread_id=T, metadata=PAIR),
    lambda: Runs.create(T, assistant_id=A),
    lambda: Runs.create(
        T,
        assistant_id=A,
        tools=TOOLS,
        metadata=PAIR,
        extra_body={"truncation_strategy": LAST},
        temperature=0.1,
        max_tokens=9,
        **FOR_RUN,
    ),
    lambda: Runs.create(T, assistant_id=A, stream=True),
    lambda: Runs.create(T, assistant_id=A, truncation_strategy=LAST),
    lambda: Runs.create_thread_and_run(assistant_id=A, thread={"messages": HI}),
    lambda: Runs.create_thread_and_run(assistant_id=A, thread={"messages": HI}, stream=True),
    lambda: Runs.list(T, limit=20, order="asc"),
    lambda: Runs.get(R, thread_id=T),
    lambda: Runs.wait(R, thread_id=T),
    lambda: Runs.update(R, thread_id=T, metadata=PAIR),
    lambda: Runs.cancel(R, thread_id=T),
    lambda: Runs.submit_tool_outputs(R, thread_id=T, tool_outputs=[{"output": "1"}]),
    lambda: Runs.submit_tool_outputs(
        R, thread_id=T, tool_outputs=[{"tool_call_id": "call_1", "output": "1"}], stream=True
    ),
    lambda: Steps.list(R, thread_id=T, limit=20, order="asc"),
    lambda: Steps.list(R, thread_id=T, limit=""),
    lambda: Steps.retrieve(S, thread_id=T, run_id=R),
    lambda: Steps.get(S, thread_id=T, run_id=R),
    lambda: AssistantFiles.create(A, file_id=F),
    lambda: AssistantFiles.list(A),
    lambda: AssistantFiles.retrieve(F, assistant_id=A),
    lambda: AssistantFiles.get(F, assistant_id=A),
    lambda: AssistantFiles.delete(F, assistant_id=A),
    lambda: MessageFiles.list(M, thread_id=T),
    lambda: MessageFiles.retrieve(F, thread_id=T, message_id=M),
]

base = dashscope.base_http_api_url
for number, call in enumerate(CALLS, 1):
    dashscope.base_http_api_url = base.replace("/calls/", f"/call-{number}/")
    status = None
    try:
        answer = call()
        if isinstance(answer, Iterator):
            result = [[event, type(data).__name__] for event, data in answer]
        else:
            # One method of the SDK leaves the status out.
            result, status = type(answer).__name__, getattr(answer, "status_code", None)
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    print(json.dumps({"result": result, "status": status}))
