"""Tool definitions and conversations that use them.

Names of functions and of their parameters vary, and so do the order and the
amount of detail of the definitions, so that the model has to read them from
the prompt instead of knowing them by heart.
"""
import json

import world as w

STR, INT = "string", "integer"
SKIES = "sunny cloudy rainy windy snowy foggy clear stormy".split()
LANGUAGES = "French German Spanish Italian Polish Swedish Danish Dutch".split()
ROOMS = ["kitchen", "bedroom", "living room", "bathroom", "hall", "office", "garage", "garden"]


def made_up(r):
    """A name that nobody has heard before: forces copying."""
    name = "".join(r.choice("b d f g k l m n p r s t v z br tr st".split()) + r.choice("aeiou")
                   for _ in range(r.randrange(2, 4)))
    return (name + r.choice(["", "n", "r", "s", "l", "th"])).capitalize()


def city(r):
    return r.choice(w.CITIES) if r.random() < 0.8 else made_up(r)


def person(r):
    return r.choice(w.GIRLS + w.BOYS)


def song(r):
    return f"The {r.choice(w.COLOURS).capitalize()} {r.choice(w.OBJECTS).capitalize()}"


def sentence(r):
    return r.choice(["I am late", "See you at {}", "Dinner is at {}", "Happy birthday", "Call me at {}",
                     "Good night", "I found your " + r.choice(w.OBJECTS)]).format(r.randrange(1, 12))


def evaluate(expression):
    x, op, y = expression.split()
    return {"+": int(x) + int(y), "-": int(x) - int(y), "*": int(x) * int(y)}[op]


# name choices | what it does | {slot: (parameter names, type, maker)} | questions | reply | last sentence
CATALOGUE = [
    ("get_weather|get_weather|weather|current_weather|get_current_weather|weather_lookup",
     "Get the current weather|Get the weather for a city|Returns the weather in a place",
     {"city": ("city|location|place|town|city_name", STR, city)},
     "What is the weather in {city}?|How is the weather in {city}?|What's the weather like in {city}?|"
     "Is it warm in {city}?|Weather in {city}|Please check the weather in {city}.|"
     "What is the weather like in {city} today?|Tell me the weather in {city}.",
     lambda r, v: dict(temperature=r.randrange(-9, 36), condition=r.choice(SKIES)),
     "It is {condition} in {city}, and the temperature is {temperature} degrees."),
    ("calculate|calculator|compute|evaluate|math", "Evaluate an arithmetic expression|Calculate a sum",
     {"e": ("expression|expr|formula|input", STR,
            lambda r: f"{r.randrange(2, 999)} {r.choice('+-*')} {r.randrange(2, 99)}")},
     "What is {e}?|Calculate {e}.|How much is {e}?|Please compute {e}.|{e}",
     lambda r, v: dict(result=evaluate(v["e"])), "{e} = {result}"),
    ("add|sum|add_numbers|plus", "Add two numbers|Returns the sum of two numbers",
     {"a": ("a|x|first|left", INT, lambda r: r.randrange(999)),
      "b": ("b|y|second|right", INT, lambda r: r.randrange(999))},
     "What is {a} + {b}?|Add {a} and {b}.|What is the sum of {a} and {b}?|How much is {a} plus {b}?",
     lambda r, v: dict(result=v["a"] + v["b"]), "{a} + {b} = {result}"),
    ("multiply|times|product", "Multiply two numbers",
     {"a": ("a|x|first", INT, lambda r: r.randrange(99)), "b": ("b|y|second", INT, lambda r: r.randrange(99))},
     "What is {a} * {b}?|Multiply {a} and {b}.|How much is {a} times {b}?",
     lambda r, v: dict(result=v["a"] * v["b"]), "{a} * {b} = {result}"),
    ("get_time|current_time|time_in|clock", "Get the current time in a city|Returns the local time",
     {"city": ("city|location|place|timezone", STR, city)},
     "What time is it in {city}?|Tell me the time in {city}.|What is the time in {city}?",
     lambda r, v: dict(time=f"{r.randrange(24):02}:{r.randrange(60):02}"), "It is {time} in {city}."),
    ("get_date|today|current_date", "Get the date of today", {},
     "What day is it today?|What is the date today?|Which date is it?",
     lambda r, v: dict(date=f"{r.randrange(1, 29)} {r.choice(w.MONTHS)}"), "Today is {date}."),
    ("set_timer|start_timer|timer", "Set a timer", {"m": ("minutes|duration|length", INT, lambda r: r.randrange(2, 90))},
     "Set a timer for {m} minutes.|Please start a timer for {m} minutes.|Wake me in {m} minutes.",
     lambda r, v: dict(status="ok"), "The timer is set for {m} minutes."),
    ("send_message|message|send_text|notify", "Send a message to a person",
     {"who": ("to|recipient|person|name", STR, person), "t": ("text|message|body", STR, sentence)},
     'Send a message to {who}: {t}|Tell {who} "{t}"|Write to {who}: {t}',
     lambda r, v: dict(status=r.choice(["sent", "ok"])), "I sent your message to {who}."),
    ("search|web_search|find|lookup", "Search for something|Search the web",
     {"q": ("query|q|text|term", STR, lambda r: f"{r.choice(w.COLOURS)} {r.choice(w.OBJECTS + list(w.ANIMALS))}")},
     "Search for {q}.|Look up {q}.|Find {q} on the web.|Please search for {q}.",
     lambda r, v: dict(results=r.randrange(2, 99)), "I found {results} results for {q}."),
    ("play_song|play|play_music", "Play a song", {"s": ("title|song|name", STR, song)},
     "Play {s}.|Please play the song {s}.|I want to hear {s}.",
     lambda r, v: dict(status="playing"), "Now playing {s}."),
    ("translate|translate_word", "Translate a word into a language",
     {"x": ("word|text", STR, lambda r: r.choice(w.OBJECTS)), "l": ("language|to|target", STR, lambda r: r.choice(LANGUAGES))},
     "Translate {x} into {l}.|What is {x} in {l}?|How do you say {x} in {l}?",
     lambda r, v: dict(translation=made_up(r).lower()), "In {l}, {x} is {translation}."),
    ("set_light|switch_light|light", "Switch a light on or off",
     {"room": ("room|place|where", STR, lambda r: r.choice(ROOMS)), "st": ("state|value|status", STR, lambda r: r.choice(["on", "off"]))},
     "Turn {st} the light in the {room}.|Switch the {room} light {st}.|Light {st} in the {room}, please.",
     lambda r, v: dict(status="ok"), "The light in the {room} is {st} now."),
    ("roll_dice|roll|dice", "Roll a die", {"n": ("sides|faces|n", INT, lambda r: r.choice([4, 6, 8, 10, 12, 20, 100]))},
     "Roll a die with {n} sides.|Please roll a {n} sided die.",
     lambda r, v: dict(value=r.randrange(1, v["n"] + 1)), "You rolled {value}."),
    ("get_price|price|price_of|check_price", "Get the price of an item",
     {"i": ("item|product|name", STR, lambda r: f"{r.choice(w.COLOURS)} {r.choice(w.OBJECTS)}")},
     "How much does the {i} cost?|What is the price of the {i}?|Check the price of the {i}.",
     lambda r, v: dict(price=r.randrange(1, 400)), "The {i} costs {price} dollars."),
]


def invented(r):
    """A tool of no fixed meaning, called by its own words."""
    verb = r.choice("find open count order paint check buy move close start book clean".split())
    noun = r.choice(w.OBJECTS + list(w.ANIMALS))
    arg, kind, make = r.choice([("name", STR, person), ("colour", STR, lambda r: r.choice(w.COLOURS)),
                                ("number", INT, lambda r: r.randrange(99)), ("city", STR, city),
                                ("code", STR, lambda r: made_up(r).lower())])
    return (f"{verb}_{noun}|{verb}{noun.capitalize()}", f"{verb.capitalize()} a {noun}", {"v": (arg, kind, make)},
            f"{verb.capitalize()} the {noun} with {arg} {{v}}.|Please {verb} the {noun} with {arg} {{v}}.",
            lambda r, v: dict(status="done"), f"The {noun} is done.")


class Tool:
    def __init__(self, r):
        names, about, slots, self.asks, self.reply, self.last = invented(r) if r.random() < 0.25 else r.choice(CATALOGUE)
        self.name = r.choice(names.split("|"))
        self.makers = {k: m for k, (_, _, m) in slots.items()}
        self.params = {k: r.choice(n.split("|")) for k, (n, _, _) in slots.items()}
        props = {}
        for k, (_, kind, _) in slots.items():
            kind = r.choice([INT, "number"]) if kind == INT else kind
            p = props[self.params[k]] = {"type": kind}
            if r.random() < 0.3:
                p["description"] = r.choice([f"The {self.params[k]}", f"{self.params[k].capitalize()} to use"])
        if r.random() < 0.08:
            props["unit"] = {"type": STR, "enum": ["celsius", "fahrenheit"]}
        schema = {"type": "object", "properties": props}
        if r.random() < 0.8:
            schema["required"] = list(self.params.values())
        f = {"name": self.name, "description": r.choice(about.split("|")), "parameters": schema}
        if r.random() < 0.15:
            del f["description"]
        self.definition = {"type": "function", "function": f}
        if r.random() < 0.3:  # some programs write the keys of an object in alphabetical order
            self.definition = json.loads(json.dumps(self.definition, sort_keys=True))

    def values(self, r):
        return {k: m(r) for k, m in self.makers.items()}

    def call(self, values):
        return {"name": self.name, "arguments": json.dumps({self.params[k]: v for k, v in values.items()},
                                                           ensure_ascii=False)}


def use(r, tool):
    """One question with its call, the tool's answer and the last sentence."""
    many = 2 if tool.last.startswith("It is {condition}") and r.random() < 0.1 else 1
    values = [tool.values(r) for _ in range(many)]
    ask = r.choice(tool.asks.split("|"))
    shown = {k: " and ".join(str(v[k]) for v in values) for k in values[0]}
    replies = [tool.reply(r, v) for v in values]
    asked = [dict(role="user", content=ask.format(**shown)),
             dict(role="assistant", content="", tool_calls=[tool.call(v) for v in values])]
    if r.random() < 0.2:
        return asked
    bare = r.random() < 0.15  # a tool may answer with plain text
    asked += [dict(role="tool", content=", ".join(map(str, x.values())) if bare else
                   json.dumps(x, separators=r.choice([(",", ":"), (", ", ": ")]))) for x in replies]
    return asked + [dict(role="assistant", content=" ".join(tool.last.format(**v, **x) for v, x in zip(values, replies)))]


def talk(r, small_talk):
    """(messages, definitions): a chat in which some of the tools are used."""
    kit = {}
    for _ in range(r.choice([1, 1, 2, 2, 3])):
        t = Tool(r)
        kit.setdefault(t.name, t)
    messages = []
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        # Not every question needs a tool; sums do where there is a tool for them.
        if r.random() < 0.2:
            chat = small_talk()
            if any(c.isdigit() for c in chat[0]["content"]) or "without a tool" in chat[-1]["content"]:
                continue
            messages += chat
        else:
            messages += use(r, r.choice(list(kit.values())))
            if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
                break  # the chat stops at a call that has had no answer
    return messages or use(r, r.choice(list(kit.values()))), [t.definition for t in kit.values()]
