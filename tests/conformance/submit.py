"""S9: the output of a function is submitted without a stream; the answer still holds the old action."""

from dashscope import Assistants, Messages, Runs, Threads

function = {
    "name": "get_current_weather",
    "description": "Get the current weather of a place",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
assistant = Assistants.create(model="qwen-max", tools=[{"type": "function", "function": function}])
thread = Threads.create(messages=[{"role": "user", "content": "What is the weather in Xi'an?"}])
run = Runs.wait(Runs.create(thread.id, assistant_id=assistant.id).id, thread_id=thread.id)
print(run.status)
outputs = [{"tool_call_id": "", "output": "rain"}]
run = Runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs)
print(run.status, run.required_action.submit_tool_outputs.tool_calls[0].function.arguments)
run = Runs.wait(run.id, thread_id=thread.id)
print(run.status, bool(run.required_action))
print(repr(Messages.list(thread.id)["data"][0]["content"][0]["text"]["value"]))
