"""S11: a function call from end to end, without streaming; every object is printed as JSON."""

import json
import sys
from http import HTTPStatus

from dashscope import Assistants, Messages, Runs, Steps, Threads


def checked(answer):
    if answer.status_code != HTTPStatus.OK:
        sys.exit(f"failed: {answer.status_code} {answer.code} {answer.message}")
    return answer


def dump(obj):
    print(json.dumps(obj, default=lambda o: o.__dict__, sort_keys=True, ensure_ascii=False))


big_add = {
    "type": "function",
    "function": {
        "name": "big_add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
            "required": ["left", "right"],
        },
    },
}
assistant = checked(
    Assistants.create(model="qwen-max", name="smart helper", description="A tool helper.", tools=[big_add])
)
thread = checked(Threads.create())
message = checked(Messages.create(thread.id, content="Add 87787 to 788988737."))
run = checked(Runs.create(thread.id, assistant_id=assistant.id))
run = checked(Runs.get(run.id, thread_id=thread.id))
run = checked(Runs.wait(run.id, thread_id=thread.id))
if run.required_action:
    outputs = []
    for call in run.required_action.submit_tool_outputs.tool_calls:
        numbers = json.loads(call.function.arguments)
        outputs.append({"tool_call_id": call.id, "output": str(numbers["left"] + numbers["right"])})
    checked(Runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs))
    run = checked(Runs.wait(run.id, thread_id=thread.id))
dump(checked(Runs.get(run.id, thread_id=thread.id)))
dump(checked(Steps.list(run.id, thread_id=thread.id)))
dump(checked(Messages.list(thread.id)))
