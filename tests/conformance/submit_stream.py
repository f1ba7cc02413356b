"""S10: the output of a function is submitted, and the rest of the run streamed; print what happens."""

from dashscope import Assistants, Runs, Threads

function = {
    "name": "get_current_weather",
    "description": "Get the current weather of a place",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["location"],
    },
}
assistant = Assistants.create(model="qwen-max", tools=[{"type": "function", "function": function}])
thread = Threads.create(messages=[{"role": "user", "content": "What is the weather in Xi'an?"}])
for event, data in Runs.create(thread.id, assistant_id=assistant.id, stream=True):
    print("first", event)
    if event == "thread.run.requires_action":
        run = data
(call,) = run.required_action.submit_tool_outputs.tool_calls
print("call", call.type, call.function.name, call.function.arguments)
outputs = [{"tool_call_id": "", "output": "rain"}]
text = ""
for event, data in Runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs, stream=True):
    print("second", event)
    if event == "thread.message.delta":
        text += data.delta.content.text.value
    if event == "thread.run.completed":
        print("usage", data.usage)
print("text", text)
