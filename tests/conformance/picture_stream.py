"""S20: a painting assistant, streaming."""

from dashscope import Assistants, Messages, Runs, Threads

painter = Assistants.create(
    model="qwen-max", name="Art Maestro", tools=[{"type": "text_to_image", "description": "For visual examples"}]
)
thread = Threads.create(messages=[{"role": "user", "content": "Draw a picture of a ragdoll cat."}])
named = False
for event, data in Runs.create(thread.id, assistant_id=painter.id, stream=True):
    print(event)
    if event == "thread.run.step.delta" and not named:
        named = True
        print("tool", data.delta.step_details.tool_calls[0]["type"])
print("answer", "![" in Messages.list(thread.id).data[0].content[0].text.value)
