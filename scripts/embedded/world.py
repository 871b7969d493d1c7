"""The closed little world that the embedded model knows: words and facts.

Everything here was written for this project. `stories.py` and `corpus.py` draw
from these tables, so a fact is stated once and stays the same everywhere.
"""

GIRLS = """Anna Lily Mia Emma Zoe Nora Ella Ruby Clara Ivy Rosa Maya Lucy Alice Sara Tessa
Hana Olga Priya Amina June Freya Wendy Daisy Molly Greta Leila Nina Polly Vera""".split()
BOYS = """Tom Ben Max Leo Sam Jack Finn Oscar Hugo Theo Omar Felix Noah Ravi Ivan Peter
Adam Luke Milo Otis Jonas Kai Emil Hans Pablo Arlo Toby Victor Simon Dan""".split()

# animal: (home, the sound it makes, baby, where it lives, what it eats, legs)
ANIMALS = {
    "fox": ("den", "yips", "cub", "in the forest", "mice and berries", 4),
    "rabbit": ("burrow", "squeaks", "kit", "in the meadow", "grass and carrots", 4),
    "bear": ("cave", "growls", "cub", "in the forest", "fish and honey", 4),
    "mouse": ("hole", "squeaks", "pup", "in the field", "seeds and cheese", 4),
    "owl": ("nest", "hoots", "owlet", "in the forest", "mice", 2),
    "hedgehog": ("nest", "snuffles", "hoglet", "in the garden", "beetles and worms", 4),
    "squirrel": ("nest", "chatters", "kit", "in the trees", "nuts", 4),
    "duck": ("nest", "quacks", "duckling", "on the pond", "plants and bread", 2),
    "frog": ("hut", "croaks", "tadpole", "by the pond", "flies", 4),
    "cat": ("house", "meows", "kitten", "in a house", "fish and meat", 4),
    "dog": ("house", "barks", "puppy", "in a house", "meat and bones", 4),
    "horse": ("stable", "neighs", "foal", "on the farm", "hay and grass", 4),
    "cow": ("barn", "moos", "calf", "on the farm", "grass", 4),
    "sheep": ("barn", "says baa", "lamb", "on the farm", "grass", 4),
    "pig": ("barn", "oinks", "piglet", "on the farm", "corn and apples", 4),
    "goat": ("barn", "bleats", "kid", "on the mountain", "leaves and grass", 4),
    "donkey": ("stable", "brays", "foal", "on the farm", "hay", 4),
    "lion": ("den", "roars", "cub", "in the grassland", "meat", 4),
    "tiger": ("den", "roars", "cub", "in the jungle", "meat", 4),
    "elephant": ("hut", "trumpets", "calf", "in the grassland", "leaves and grass", 4),
    "monkey": ("tree house", "chatters", "infant", "in the jungle", "fruit and nuts", 4),
    "wolf": ("den", "howls", "pup", "in the forest", "meat", 4),
    "deer": ("hut", "bleats", "fawn", "in the forest", "leaves and grass", 4),
    "turtle": ("hut", "hisses", "hatchling", "by the lake", "plants and insects", 4),
    "penguin": ("nest", "honks", "chick", "on the ice", "fish", 2),
    "crow": ("nest", "caws", "chick", "in the trees", "seeds and insects", 2),
    "robin": ("nest", "sings", "chick", "in the garden", "worms and berries", 2),
    "badger": ("burrow", "grunts", "cub", "in the woods", "worms and roots", 4),
    "otter": ("den", "whistles", "pup", "by the river", "fish", 4),
    "beaver": ("lodge", "slaps its tail", "kit", "by the river", "bark and leaves", 4),
}
# These live in stories only.
FANTASY = {"dragon": "cave", "robot": "workshop", "giant": "cave", "snowman": "hut",
           "fairy": "tree house", "unicorn": "stable", "knight": "castle", "wizard": "tower",
           "princess": "castle", "king": "castle", "queen": "castle", "pirate": "ship",
           "farmer": "farmhouse", "baker": "bakery", "sailor": "cottage", "fisherman": "cottage",
           "gardener": "cottage", "clockmaker": "shop", "shepherd": "cottage", "miller": "mill"}
GENDER = {"princess": "f", "queen": "f", "fairy": "f", "king": "m", "knight": "m",
          "wizard": "m", "fisherman": "m", "snowman": "m", "giant": "m"}

COLOURS = "red blue green yellow orange purple pink brown black white grey golden silver".split()
OBJECTS = """kite ball hat drum lantern key bell boat book scarf basket spoon button map mirror ring
coin shell feather whistle teapot blanket umbrella clock box bucket flute cup lamp ribbon
balloon wagon pencil stone crown rope bowl mitten pillow hammer brush doll puzzle
ladder candle marble acorn wheel flag""".split()
FOODS = """apples nuts berries carrots cookies cherries plums pears buns muffins pancakes
strawberries peaches sandwiches grapes dumplings biscuits oranges""".split()
FEARS = {"the dark": "night", "thunder": "stormy night", "deep water": "rainy day", "high places": "evening",
         "the wind": "windy night", "strangers": "evening", "big dogs": "afternoon"}
# place: (preposition, somewhere near it)
PLACES = {"forest": ("in", "an old oak tree"), "meadow": ("in", "a row of tall poplars"),
          "village": ("in", "the well"), "hill": ("on", "the old windmill"),
          "river": ("by", "a wooden bridge"), "lake": ("by", "the tall reeds"),
          "garden": ("in", "the stone wall"), "farm": ("on", "the red barn"),
          "valley": ("in", "a quiet stream"), "beach": ("on", "the big rocks"),
          "mountain": ("on", "a narrow path"), "island": ("on", "a sandy cove"),
          "town": ("in", "the clock tower"), "harbour": ("by", "the lighthouse"),
          "orchard": ("in", "the oldest apple tree"), "field": ("in", "a tall hedge"),
          "park": ("in", "the fountain"), "jungle": ("in", "a small waterfall"),
          "wood": ("in", "a mossy log"), "pond": ("by", "a flat stone")}
SKILLS = {"swim": "swimming", "sing": "singing", "whistle": "whistling", "dance": "dancing",
          "climb trees": "climbing", "skate": "skating", "read": "reading", "paint": "painting",
          "juggle": "juggling", "bake bread": "baking", "play the flute": "playing",
          "ride a bicycle": "riding", "tie a knot": "tying knots", "row a boat": "rowing"}
BUILDS = {"tree house": "wood and rope", "bridge": "planks and nails", "raft": "logs and rope",
          "sledge": "old boards", "sandcastle": "wet sand and shells", "snow fort": "packed snow",
          "kite": "paper and string", "bird house": "thin boards", "scarecrow": "straw and old clothes",
          "wagon": "wheels and boards", "bench": "two logs and a plank", "swing": "a rope and a board"}

# Asked for in chat only, to teach that a story can be about any such word.
MORE_HEROES = """zebra panda parrot snail whale dolphin camel kangaroo koala hamster swan goose hen
rooster bee ant butterfly spider crab seal eagle raven puppy kitten lamb bunny ghost witch elf
troll mermaid prince astronaut doctor teacher cook painter inventor""".split()
MORE_OBJECTS = """spaceship train rocket car bicycle violin telescope computer cake carrot sandwich
pumpkin snowflake rainbow tree flower star cloud bridge castle treasure diamond sword shoe sock
coat ticket camera radio phone machine potion book cookie banana guitar piano painting garden
window door chair table bottle postcard""".split()

COLOUR_OF = {"the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow",
             "the sun": "yellow", "a strawberry": "red", "a tomato": "red", "a carrot": "orange",
             "an orange": "orange", "coal": "black", "milk": "white", "a lemon": "yellow",
             "a leaf": "green", "the sea": "blue", "blood": "red", "chocolate": "brown",
             "a pumpkin": "orange", "a frog": "green", "a crow": "black", "a polar bear": "white",
             "a flamingo": "pink", "an elephant": "grey", "a plum": "purple", "a cherry": "red",
             "a pea": "green", "the night sky": "black", "a cloud": "white", "a rose": "red",
             "a sunflower": "yellow", "tree bark": "brown", "a cucumber": "green", "a pig": "pink",
             "a fire truck": "red", "gold": "yellow", "a fox": "orange", "a mouse": "grey",
             "salt": "white", "honey": "golden", "an eggplant": "purple", "a lime": "green"}
OPPOSITES = """hot cold|big small|up down|day night|happy sad|fast slow|open closed|old young|
tall short|hard soft|wet dry|light dark|loud quiet|full empty|left right|good bad|early late|
clean dirty|rich poor|strong weak|near far|high low|in out|on off|yes no|true false|black white|
first last|begin end|push pull|win lose|long short|thick thin|sweet sour|easy difficult|
brave afraid|heavy light|awake asleep|above below|before after|inside outside|summer winter|
buy sell|give take|remember forget|love hate|smooth rough|deep shallow|wide narrow|new old|
always never|start stop|laugh cry|arrive leave|question answer|friend enemy|front back|
top bottom|north south|east west|sunrise sunset|noisy quiet|same different|alive dead|safe dangerous"""
OPPOSITES = [tuple(p.split()) for p in OPPOSITES.replace("\n", "").split("|")]
CAPITALS = dict(p.split(":") for p in """France:Paris|Germany:Berlin|Italy:Rome|Spain:Madrid|
Portugal:Lisbon|England:London|Ireland:Dublin|Scotland:Edinburgh|Norway:Oslo|Sweden:Stockholm|
Finland:Helsinki|Denmark:Copenhagen|Iceland:Reykjavik|Poland:Warsaw|Austria:Vienna|Hungary:Budapest|
Greece:Athens|Turkey:Ankara|Egypt:Cairo|Kenya:Nairobi|Morocco:Rabat|Japan:Tokyo|China:Beijing|
India:New Delhi|Thailand:Bangkok|Vietnam:Hanoi|South Korea:Seoul|Canada:Ottawa|Mexico:Mexico City|
Cuba:Havana|Peru:Lima|Chile:Santiago|Argentina:Buenos Aires|Brazil:Brasilia|Russia:Moscow|
Ukraine:Kyiv|Belgium:Brussels|Switzerland:Bern|Czechia:Prague|Romania:Bucharest|Bulgaria:Sofia|
Australia:Canberra|New Zealand:Wellington|Indonesia:Jakarta|the Philippines:Manila|Nepal:Kathmandu|
Pakistan:Islamabad|Iran:Tehran|Iraq:Baghdad|Ghana:Accra|Ethiopia:Addis Ababa|Colombia:Bogota|
the Netherlands:Amsterdam|the United States:Washington""".replace("\n", "").split("|"))
CITIES = list(CAPITALS.values()) + """New York|San Francisco|Chicago|Boston|Toronto|Sydney|
Barcelona|Milan|Munich|Hamburg|Zurich|Geneva|Oxford|Mumbai|Shanghai|Osaka|Kyoto|Singapore|
Dubai|Lyon|Venice|Naples|Seattle|Dallas|Miami|Denver|Glasgow|Bristol|Porto|Krakow""".replace(
    "\n", "").split("|")

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = """January February March April May June July August September October November
December""".split()
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
SEASONS = "spring summer autumn winter".split()
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen
fourteen fifteen sixteen seventeen eighteen nineteen twenty""".split()
SHAPES = {"triangle": 3, "square": 4, "rectangle": 4, "pentagon": 5, "hexagon": 6, "octagon": 8}
WHAT_IS = {
    "a fox": "A fox is a wild animal with red fur and a bushy tail.",
    "an owl": "An owl is a bird that hunts at night and has big round eyes.",
    "a bridge": "A bridge is a path that carries people over a river or a road.",
    "a river": "A river is a long stream of water that flows to the sea.",
    "a mountain": "A mountain is a very high hill made of rock.",
    "an island": "An island is land with water all around it.",
    "a forest": "A forest is a large place full of trees.",
    "the moon": "The moon is the bright round body that goes around the Earth.",
    "the sun": "The sun is the star that gives the Earth light and warmth.",
    "a star": "A star is a very big ball of hot gas that shines in the sky.",
    "rain": "Rain is water that falls from the clouds in small drops.",
    "snow": "Snow is frozen water that falls from the clouds as white flakes.",
    "ice": "Ice is water that is so cold that it has become hard.",
    "wind": "Wind is air that moves.",
    "a cloud": "A cloud is a mass of tiny drops of water in the sky.",
    "a book": "A book is a set of pages with words or pictures to read.",
    "a clock": "A clock is a thing that shows the time.",
    "a key": "A key is a small piece of metal that opens a lock.",
    "a teacher": "A teacher is a person who helps others to learn.",
    "a doctor": "A doctor is a person who helps sick people to get well.",
    "a baker": "A baker is a person who makes bread and cakes.",
    "a farmer": "A farmer is a person who grows food and keeps animals.",
    "a friend": "A friend is a person you like and trust.",
    "bread": "Bread is food that is baked from flour and water.",
    "honey": "Honey is a sweet food that bees make from flowers.",
    "a computer": "A computer is a machine that works with numbers and words.",
    "a language model": "A language model is a program that writes text one piece at a time.",
    "a token": "A token is a small piece of text, such as a word or a part of a word.",
    "a triangle": "A triangle is a shape with three sides.",
    "a circle": "A circle is a perfectly round shape.",
    "a dragon": "A dragon is a big animal in stories that can fly and breathe fire.",
    "a story": "A story tells what happened to someone, from the beginning to the end.",
    "silicon": "Silicon is the material that computer chips are made of.",
    "winter": "Winter is the coldest season of the year.",
    "summer": "Summer is the warmest season of the year.",
    "a week": "A week is seven days.", "a year": "A year is twelve months.",
    "a day": "A day is twenty-four hours.", "an hour": "An hour is sixty minutes.",
    "a minute": "A minute is sixty seconds.",
}
WHY = {
    "do we sleep": "We sleep so that our bodies and minds can rest.",
    "do birds fly south": "Birds fly south because the winter is too cold and there is little food.",
    "does ice float": "Ice floats because it is lighter than water.",
    "is the sky blue": "The sky is blue because the air scatters blue light the most.",
    "do leaves fall": "Leaves fall because the trees rest in the cold season.",
    "do we eat": "We eat because food gives us energy.",
    "does it rain": "It rains because the drops in the clouds grow too heavy to stay up.",
    "is the sea salty": "The sea is salty because rivers carry salt from the rocks into it.",
    "do bees visit flowers": "Bees visit flowers to gather nectar for honey.",
    "do cats purr": "Cats often purr because they are happy and calm.",
    "do we wear coats": "We wear coats to keep warm in the cold.",
    "does the moon shine": "The moon shines because it reflects the light of the sun.",
}


def a(noun):
    """The noun with its article: "a kite", "an umbrella"."""
    silent = noun.startswith(("hour", "honest"))
    return ("an " if noun[0] in "aeiou" and not noun.startswith("uni") or silent else "a ") + noun
