"""A longer text with every kind of Markdown, to watch how a stream looks while it comes."""

from __future__ import annotations

from dashnb.local.models.guide.language import Language

_EN = """\
## What streaming is

I tell no stories, but I can fill a page, and this one explains what you are watching. An answer is \
not written in one go: it grows **piece by piece**, and each piece travels to you as soon as it exists. \
You read the beginning while the end is still being made.

### What arrives

1. First the *run* is announced: it is queued, then in progress.
2. Then its *steps* follow: calling tools, or writing a message.
3. Between them come the *deltas*. A delta is what is new; all deltas together are the message.

### The pieces of a stream

| piece | carries | how often |
|---|---|---|
| event name | what kind of news it is | once per event |
| data | the news itself, as JSON | once per event |
| empty line | the end of the event | once per event |

### How a program reads it

```python
text = ""
for delta in deltas:
    text += delta
    show(text)
```

> A reader who leaves loses nothing: the run goes on, and what was said can be read again.

Two things are worth a look while this page grows:

- the counter of events, which runs ahead of the words;
- the time to the first word, which is what makes an answer *feel* quick.

That is all. The last piece of a stream says only one word: `done`.
"""

_ZH = """\
## 什么是流式输出

我不会讲故事，但可以写满一页，说明您正在看的东西。答案并不是一次写完的：它**一段一段**地生长，每一段一旦出现就立刻送到您面前。\
结尾还在书写，开头已经可以阅读。

### 会收到什么

1. 首先宣布*运行*：排队，然后进行。
2. 接着是它的*步骤*：调用工具，或写出消息。
3. 其间不断到来的是*增量*。增量是新的部分，全部增量合起来就是消息。

### 流的组成

| 部分 | 内容 | 次数 |
|---|---|---|
| 事件名 | 是哪一类消息 | 每个事件一次 |
| 数据 | 消息本身，JSON 格式 | 每个事件一次 |
| 空行 | 事件到此结束 | 每个事件一次 |

### 程序怎样读取

```python
text = ""
for delta in deltas:
    text += delta
    show(text)
```

> 中途离开的读者不会丢失什么：运行继续，说过的话可以重新读取。

这一页生长的时候，有两处值得留意：

- 事件的计数，它走在文字前面；
- 到第一个字的时间，正是它让答案*显得*很快。

就是这些。流的最后一段只说一个词：`done`。
"""

_JA = """\
## ストリーミングとは

物語は語れませんが、1 ページを埋めて、いま目の前で起きていることを説明できます。答えは一度に書かれるのではありません。\
**少しずつ**育ち、できた部分からすぐに届きます。終わりがまだ書かれているうちに、始まりを読むことができます。

### 届くもの

1. まず*実行*が知らされます。待機中、それから進行中です。
2. 次に*ステップ*が続きます。ツールの呼び出しか、メッセージの作成です。
3. その間に届くのが*差分*です。差分は新しい部分で、すべて合わせるとメッセージになります。

### ストリームの部品

| 部品 | 内容 | 回数 |
|---|---|---|
| イベント名 | 知らせの種類 | イベントごとに 1 回 |
| データ | 知らせそのもの、JSON で | イベントごとに 1 回 |
| 空行 | イベントの終わり | イベントごとに 1 回 |

### プログラムでの読み方

```python
text = ""
for delta in deltas:
    text += delta
    show(text)
```

> 途中で離れても何も失われません。実行は続き、語られたことは後から読めます。

このページが育つ間に、二つのことに目を留めてください。

- イベントの数。言葉より先に進みます。
- 最初の言葉までの時間。答えが速く*感じられる*のは、これのおかげです。

以上です。ストリームの最後の部品が告げるのは、ただ一語です: `done`。
"""

SAMPLERS: dict[Language, str] = {"en": _EN, "zh": _ZH, "ja": _JA}
