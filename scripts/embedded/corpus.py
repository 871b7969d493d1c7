"""The training text: an endless, seeded stream of documents.

A third is stories, the rest short chats over a closed little world, sums and tool
calls. Chats go through the very template that ships in the GGUF file, so
the model is trained on exactly the bytes it meets later.

    python corpus.py [count] [seed]    prints some documents
"""
import json
import pathlib
import random
import sys

import jinja2

import tools
import world as w
from stories import Story
from turns import casual, story, sum_of, turns

END = "<|endoftext|>"
TEMPLATE = (pathlib.Path(__file__).parent / "chat_template.jinja").read_text()
ENV = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
SEPARATORS = [(", ", ": ")]
ENV.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False, separators=SEPARATORS[0])
RENDER = ENV.from_string(TEMPLATE)
SYSTEMS = ["You are a helpful assistant.", "You are Polysilicon, a helpful assistant.",
           "Answer briefly.", "You are a friendly storyteller.", "You are a small and friendly model.",
           "Be short and clear.", "You are a careful assistant. Answer in one sentence."]


def render(messages, tools=None, generate=False):
    return RENDER.render(messages=messages, tools=tools, add_generation_prompt=generate)


def chat(r, kind):
    messages, defs = [], None
    if kind == "tools":
        messages, defs = tools.talk(r, lambda: turns(r, 1))
    elif kind == "story":
        messages = turns(r, 1) if r.random() < 0.15 else []
        for _ in range(2 if r.random() < 0.08 else 1):
            user, reply = story(r)
            messages += [dict(role="user", content=casual(r, user)), dict(role="assistant", content=reply)]
    else:
        messages = turns(r, r.choice([1, 1, 2, 3, 5]) if r.random() < 0.98 else 25)
    if r.random() < 0.2:
        messages = [dict(role="system", content=r.choice(SYSTEMS))] + messages
    SEPARATORS[0] = (", ", ": ") if r.random() < 0.5 else (",", ":")
    return render(messages, defs) + END


def any_word(r):
    return r.choice(r.choice([w.GIRLS, w.BOYS, w.OBJECTS, w.COLOURS, w.FOODS, list(w.ANIMALS), w.CITIES,
                              w.MORE_OBJECTS, [tools.made_up(r), str(r.randrange(1000))]]))


def copying(r):
    """Pages on which nearly every word stands earlier on the page. A story gives a few
    such words only; with these pages the model learns much sooner to look back."""
    kind = r.random()
    if kind < 0.3:
        line = " ".join(any_word(r) for _ in range(r.randrange(5, 30)))
        return "\n".join([line] * r.choice([2, 2, 3])) + END
    if kind < 0.5:
        line = " ".join(any_word(r) for _ in range(r.randrange(3, 20)))
        ask = r.choice(["Repeat after me: ", "Repeat: ", "Say this: "])
        return render([dict(role="user", content=ask + line), dict(role="assistant", content=line)]) + END
    people = r.sample(w.GIRLS + w.BOYS + ["The " + k for k in r.sample(list(w.ANIMALS), 6)], r.randrange(2, 8))
    has = {p: (r.choice(w.COLOURS), o) for p, o in zip(people, r.sample(w.OBJECTS, len(people)))}
    facts = " ".join(f"{p} has {w.a(c + ' ' + o)}." for p, (c, o) in has.items())
    asked = []
    for p in r.sample(people, len(people)):
        c, o = has[p]
        name = p.replace("The", "the")
        asked.append(r.choice([(f"What does {name} have?", f"{p} has {w.a(c + ' ' + o)}."),
                               (f"Who has the {o}?", f"{p} has the {o}."),
                               (f"What colour is the {o}?", f"The {o} is {c}.")]))
    if kind < 0.75:
        return "\n".join([facts] + [f"{q} {answer}" for q, answer in asked]) + END
    asked[0] = (facts + " " + asked[0][0], asked[0][1])
    return render([dict(role=role, content=text) for turn in asked
                   for role, text in zip(("user", "assistant"), turn)]) + END


def page_of_sums(r):
    return "\n".join("{0} = {2}".format(*sum_of(r)) for _ in range(r.randrange(10, 36))) + END


def plain_story(r):
    s = Story(r)
    return (s.title() + "\n\n" if r.random() < 0.1 else "") + s.text() + END


# How often each kind of page comes, in the first half of a run and in the second: first
# language and looking back, then more of the facts.
KINDS = {plain_story: (20, 16), lambda r: Story(r).text(short=True) + END: (2, 2), copying: (12, 5),
         page_of_sums: (7, 9), lambda r: chat(r, "story"): (11, 12), lambda r: chat(r, "tools"): (14, 16),
         lambda r: chat(r, "turns"): (34, 40)}


def documents(seed, late=lambda: False):
    r = random.Random(seed)
    while True:
        weights = [x[late()] for x in KINDS.values()]
        yield r.choices(list(KINDS), weights)[0](r)


if __name__ == "__main__":
    count, seed = (int(x) for x in (sys.argv[1:] + ["5", "1"][len(sys.argv) - 1:])[:2])
    for _, text in zip(range(count), documents(seed)):
        print(text, end="\n\n")
