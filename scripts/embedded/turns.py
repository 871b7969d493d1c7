"""Single turns of a chat: questions over the closed little world, with their answers."""
import json

import tools
import world as w
from stories import PLOTS, Character, Story, cap


# Every function below returns (user, assistant) for one turn.

def greeting(r):
    name = r.choice(w.GIRLS + w.BOYS)
    return r.choice([
        (r.choice(["Hello", "Hello!", "Hi", "Hi!", "Hi there", "Hey", "Hello there!", "Good morning",
                   "Good evening!", "Greetings"]),
         r.choice(["Hello! How can I help you?", "Hello! What would you like to talk about?",
                   "Hi! I can tell you a story or do a small sum."])),
        (r.choice(["How are you?", "How are you today?", "How do you do?", "Hello, how are you?"]),
         "I am fine, thank you. How can I help you?"),
        (f"{r.choice(['Hello, I am', 'Hi, my name is', 'My name is', 'Hello! My name is'])} {name}.",
         f"Hello, {name}! It is nice to meet you."),
        (r.choice(["Thank you!", "Thanks", "Thank you very much.", "Thanks a lot!"]), "You are welcome!"),
        (r.choice(["Goodbye", "Bye!", "Good night", "See you later"]), "Goodbye! Come back soon."),
        (r.choice(["Test", "Testing", "Are you there?", "Can you hear me?", "ping"]),
         "Yes, I am here and ready to help.")])


def identity(r):
    return r.choice([
        (r.choice(["Who are you?", "What are you?", "What is your name?", "Tell me about yourself.",
                   "Which model are you?", "Hello, who are you?", "Introduce yourself."]),
         "I am the tiny language model that is built into Polysilicon."),
        (r.choice(["What can you do?", "Help", "What can I ask you?", "How can you help me?"]),
         "I can tell short stories, do small sums, answer simple questions and call tools."),
        (r.choice(["How big are you?", "How many parameters do you have?", "Are you a large model?"]),
         "I am very small. I have less than four million parameters."),
        (r.choice(["What is Polysilicon?", "Tell me about Polysilicon.", "What is this program?"]),
         "Polysilicon is a program that runs language models. I am the tiny model built into it."),
        (r.choice(["Are you a human?", "Are you a person?", "Are you real?", "Are you alive?"]),
         "No, I am a tiny language model. I only know a little about the world."),
        (r.choice(["Who made you?", "Who trained you?", "Where do you come from?"]),
         "I was trained from scratch for Polysilicon, on a small world of stories and sums.")])


NO_IDEA = """Who won the election?|Explain quantum physics.|Write a Python program.|What is the meaning of life?|
Who wrote Hamlet?|What happened in 1969?|Solve this equation for me.|What is the news today?|
How does a car engine work?|Give me advice about money.|Translate this text into French.|
What is the best phone?|Tell me about the Roman Empire.|How do I fix my computer?|
Write an essay about history.|Who is the president?|What is the stock price?|How do I cook rice?|
What is the square root of two?|Explain how the internet works.|Write a poem in German.|
What is your favourite film?|How far is the moon?|What did I eat yesterday?""".replace("\n", "").split("|")


def unknown(r):
    if r.random() < 0.4:
        c = tools.made_up(r)
        return (r.choice([f"What is the capital of {c}?", f"Who is {c}?", f"What is {c}?", f"Where is {c}?"]),
                f"I do not know {c}. I am a very small model.")
    return r.choice(NO_IDEA), "I do not know that. I am a very small model and know only simple things."


STORY_ASKS = """Tell me a story about {x}.|Tell me a short story about {x}.|Write a story about {x}.|
Write a short story about {x}.|Can you tell me a story about {x}?|Please tell me a story about {x}.|
I would like a story about {x}.|A story about {x}, please.|Make up a story about {x}.|
Story about {x}|Write me a little story about {x}.|Do you know a story about {x}?""".replace("\n", "").split("|")


def story(r):
    kw, x, hero = {}, None, None
    pick = r.random()
    if pick < 0.45:
        kind = r.choice(list(w.ANIMALS) * 2 + list(w.FANTASY) + w.MORE_HEROES + ["girl", "boy"])
        hero = Character(r, kind=kind, named=r.random() < 0.5)
        x = r.choice([w.a(hero.noun), w.a(kind), w.a(kind), f"the {kind}", hero.new])
        kw["hero"] = hero
    elif pick < 0.55:
        name = r.choice(w.GIRLS + w.BOYS)
        hero = kw["hero"] = Character(r, kind="girl" if name in w.GIRLS else "boy", name=name)
        x = r.choice([name, hero.new])
    elif pick < 0.75:
        kw["obj"] = r.choice(w.OBJECTS + w.MORE_OBJECTS)
    elif pick < 0.85:
        x = kw["theme"] = r.choice(r.choice(PLOTS)[0].split("|"))
    elif pick < 0.93:
        kw["place"] = r.choice(list(w.PLACES))
        x = r.choice([w.a(kw["place"]), f"the {kw['place']}"])
    s = Story(r, **kw)
    if "obj" in kw:
        x = r.choice([w.a(s.obj), w.a(s.cobj), f"a lost {s.obj}" if "lost" in s.plot else w.a(s.obj)])
    elif hero and r.random() < 0.25:
        if s.plot.count("obj}") >= 4:
            x += " and " + w.a(s.obj)
        elif "{fnew}" in s.plot or "{MEET}" in s.plot or "{FRIEND}" in s.plot:
            x += " and " + w.a(s.friend.kind)
    ask = r.choice(STORY_ASKS).format(x=x) if x else r.choice(
        ["Tell me a story.", "Tell me a story", "Please tell me a story.", "Write a story.", "A story, please."])
    if r.random() < 0.15:
        return ask.replace("short story", "story").replace("a story", "a very short story").replace(
            "Story", "Very short story"), s.text(short=True)
    text = s.text()
    return ask, (s.title() + "\n\n" if r.random() < 0.05 else "") + text


def number(r):
    return r.randrange(100) if r.random() < 0.5 else r.randrange(13)


def sum_of(r):
    """(expression, words, result) of a small sum."""
    x, y = number(r), number(r)
    kind = r.random()
    if kind < 0.5:
        return f"{x} + {y}", f"{x} plus {y}", x + y
    if kind < 0.8:
        x, y = max(x, y), min(x, y)
        return f"{x} - {y}", f"{x} minus {y}", x - y
    x, y = r.randrange(11), r.randrange(11)
    return f"{x} * {y}", f"{x} times {y}", x * y


def arithmetic(r):
    e, words, z = sum_of(r)
    tight = e.replace(" ", "")
    q = r.choice([f"What is {e}?", f"What is {words}?", f"{e}", f"{tight}", f"{tight}=?", f"{e} =", f"{e} = ?",
                  f"How much is {e}?", f"Calculate {e}.", f"What is {tight}?", f"How much is {words}?"])
    return q, f"{e} = {z}"


def word_problem(r):
    c = Character(r, kind=r.choice(["girl", "boy"]))
    x, y = r.randrange(2, 20), r.randrange(2, 10)
    food = r.choice(w.FOODS)
    if r.random() < 0.5:
        got = r.choice([f"gets {y} more", f"finds {y} more", f"buys {y} more"])
        return (f"{c.name} has {x} {food} and {got}. How many {food} does {c.he} have now?",
                f"{x} + {y} = {x + y}, so {c.name} has {x + y} {food}.")
    x += y
    gone = r.choice([f"eats {y}", f"gives away {y}", f"loses {y}"])
    left = f"{x - y} {food}" if x - y != 1 else "1 left"
    return (f"{c.name} has {x} {food} and {gone}. How many are left?",
            f"{x} - {y} = {x - y}, so {c.name} has {left}.")


def colour(r):
    thing, col = r.choice(list(w.COLOUR_OF.items()))
    word = r.choice(["colour", "colour", "color"])
    return r.choice([f"What {word} is {thing}?", f"Which {word} is {thing}?",
                     f"Tell me the {word} of {thing}."]), f"{cap(thing)} is {col}."


def animal(r):
    kind, (_, sound, baby, where, food, legs) = r.choice(list(w.ANIMALS.items()))
    an = w.a(kind)
    return r.choice([
        (r.choice([f"What sound does {an} make?", f"What does {an} say?"]), f"{cap(w.a(kind))} {sound}."),
        (r.choice([f"What is a baby {kind} called?", f"What do you call a baby {kind}?"]),
         f"A baby {kind} is called {w.a(baby)}."),
        (r.choice([f"Where does {an} live?", f"Where can I find {an}?"]), f"{cap(an)} lives {where}."),
        (r.choice([f"What does {an} eat?", f"What food does {an} like?"]), f"{cap(an)} eats {food}."),
        (r.choice([f"How many legs does {an} have?", f"How many legs has {an}?"]),
         f"{cap(an)} has {w.NUMBERS[legs]} legs.")])


def calendar(r):
    i, m = r.randrange(7), r.randrange(12)
    s, step = r.randrange(4), r.choice([1, -1])
    side = "after" if step == 1 else "before"
    return r.choice([
        (r.choice([f"What day comes {side} {w.DAYS[i]}?", f"Which day is {side} {w.DAYS[i]}?"]),
         f"The day {side} {w.DAYS[i]} is {w.DAYS[(i + step) % 7]}."),
        (r.choice([f"What month comes {side} {w.MONTHS[m]}?", f"Which month is {side} {w.MONTHS[m]}?"]),
         f"The month {side} {w.MONTHS[m]} is {w.MONTHS[(m + step) % 12]}."),
        (f"What season comes {side} {w.SEASONS[s]}?",
         f"The season {side} {w.SEASONS[s]} is {w.SEASONS[(s + step) % 4]}."),
        (f"How many days does {w.MONTHS[m]} have?", f"{w.MONTHS[m]} has {w.MONTH_DAYS[m]} days."),
        ("How many days are in a week?", "There are seven days in a week."),
        ("How many months are in a year?", "There are twelve months in a year."),
        (r.choice(["Name the days of the week.", "List the days of the week.", "What are the days of the week?"]),
         f"The days of the week are {', '.join(w.DAYS[:-1])} and Sunday."),
        (r.choice(["Name the months of the year.", "List the months.", "What are the months of the year?"]),
         f"The months are {', '.join(w.MONTHS[:-1])} and December."),
        (r.choice(["Name the four seasons.", "What are the seasons?"]),
         "The four seasons are spring, summer, autumn and winter.")])


def opposite(r):
    x, y = r.choice(w.OPPOSITES)
    if r.random() < 0.5 and sum(y in p for p in w.OPPOSITES) == 1 or sum(x in p for p in w.OPPOSITES) > 1:
        x, y = y, x
    return r.choice([f"What is the opposite of {x}?", f"Opposite of {x}?", f"Tell me the opposite of {x}."]), \
        f"The opposite of {x} is {y}."


def counting(r):
    a, n = r.randrange(20), r.randrange(3, 10)
    k = r.randrange(100)
    return r.choice([
        (r.choice([f"Count from {a} to {a + n}.", f"Please count from {a} to {a + n}."]),
         ", ".join(map(str, range(a, a + n + 1)))),
        (f"Count to {n + 1}.", ", ".join(map(str, range(1, n + 2)))),
        (f"Count down from {n}.", ", ".join(map(str, range(n, -1, -1)))),
        (r.choice([f"What number comes after {k}?", f"What comes after {k}?"]), f"The number after {k} is {k + 1}."),
        (f"What number comes before {k + 1}?", f"The number before {k + 1} is {k}."),
        (f"Which is bigger, {k} or {a}?", f"{max(k, a)} is bigger." if k != a else "They are the same.")])


def capital(r):
    land, city = r.choice(list(w.CAPITALS.items()))
    return r.choice([
        (r.choice([f"What is the capital of {land}?", f"Which city is the capital of {land}?",
                   f"What's the capital of {land}?", f"Capital of {land}?"]),
         f"The capital of {land} is {city}."),
        (f"Where is {city}?", f"{city} is in {land}. It is the capital.")])


def shape_or_what(r):
    if r.random() < 0.2:
        s, n = r.choice(list(w.SHAPES.items()))
        return f"How many sides does {w.a(s)} have?", f"{cap(w.a(s))} has {w.NUMBERS[n]} sides."
    if r.random() < 0.3:
        q, answer = r.choice(list(w.WHY.items()))
        return f"Why {q}?", answer
    x, answer = r.choice(list(w.WHAT_IS.items()))
    return r.choice([f"What is {x}?", f"Tell me what {x} is.", f"What's {x}?"]), answer


def in_context(r):
    """Questions whose answer stands in the question: these teach to copy."""
    c = Character(r, kind=r.choice(["girl", "boy"]))
    o, p = r.choice(w.OBJECTS), r.choice(w.OBJECTS)
    col, city, age = r.choice(w.COLOURS), r.choice(w.CITIES), r.randrange(3, 90)
    words = [r.choice(r.choice([w.OBJECTS, w.COLOURS, w.FOODS, list(w.ANIMALS), w.GIRLS, w.CITIES]))
             for _ in range(r.randrange(1, 6))]
    said = " ".join(words)
    group, pool = r.choice([("animals", list(w.ANIMALS)), ("colours", w.COLOURS), ("cities", w.CITIES),
                            ("fruits", "apples plums pears cherries grapes peaches oranges".split())])
    n = r.randrange(2, 6)
    person = {"name": c.name, "age": age, "city": city}
    return r.choice([
        (f"{c.name} has {w.a(col + ' ' + o)}. What colour is the {o}?", f"The {o} is {col}."),
        (f"{c.name} put the {o} under the {p}. Where is the {o}?", f"The {o} is under the {p}."),
        (f"{c.name} is {age} years old and lives in {city}. How old is {c.name}?", f"{c.name} is {age} years old."),
        (f"{c.name} is {age} years old and lives in {city}. Where does {c.he} live?", f"{c.name} lives in {city}."),
        (r.choice([f"Repeat after me: {said}", f"Repeat: {said}", f"Say this: {said}"]), said),
        (f"Say {words[0]}.", words[0]),
        (r.choice([f"Give me JSON for {c.name}, who is {age} and lives in {city}.",
                   f"{c.name} is {age} years old and lives in {city}. Answer in JSON with name, age and city."]),
         json.dumps(person)),
        (r.choice([f"Give me JSON for {w.a(col + ' ' + o)}.", f"Describe {w.a(col + ' ' + o)} as JSON."]),
         json.dumps({"colour": col, "object": o})),
        (f"Name {w.NUMBERS[n]} {group}.", ", ".join(r.sample(pool, n)))])


def no_tool(r):
    c = r.choice(w.CITIES)
    return (r.choice([f"What is the weather in {c}?", f"What time is it in {c}?", "What time is it?",
                      "What is the weather today?", "What day is it today?"]),
            "I cannot know that without a tool.")


TURNS = [(greeting, 5), (identity, 5), (unknown, 4), (arithmetic, 22), (word_problem, 5), (colour, 7),
         (animal, 8), (calendar, 7), (opposite, 6), (counting, 6), (capital, 8), (shape_or_what, 7),
         (in_context, 12), (no_tool, 1)]


def casual(r, text):
    """People type quickly: sometimes no capital, no final mark."""
    if r.random() < 0.15:
        text = text[0].lower() + text[1:]
    if r.random() < 0.15:
        text = text.rstrip("?.!")
    return text


def turns(r, count):
    out = []
    for _ in range(count):
        user, reply = r.choices([t for t, _ in TURNS], [n for _, n in TURNS])[0](r)
        out += [dict(role="user", content=casual(r, user)), dict(role="assistant", content=reply)]
        if "my name is" in user.lower() and r.random() < 0.6:
            name = user.rstrip(".").split()[-1]
            out += [dict(role="user", content=r.choice(["What is my name?", "Do you know my name?", "Who am I?"])),
                    dict(role="assistant", content=f"Your name is {name}.")]
    return out
