"""Short stories from a small grammar.

A plot is a few paragraphs in which `[a|b|c]` is a choice (choices nest) and
`{slot}` a word of this story's cast. Every slot keeps one value for the whole
story, which is what makes the sentences hang together: the same two
characters, one object, one place, from the opening to the end.
"""
import re

import world as w

OPENINGS = """Once upon a time, there was {new} who lived {inp}.
Once upon a time, {new} lived in a {home} {near}.
Once upon a time, {inp}, there lived {new}.
Once there was {new}. {He} lived {inp}, in a {home} {near}.
Long ago, {new} lived {inp}.
Long, long ago, {inp}, there was {new}.
There was once {new} who lived {near}.
There once was {new}. {He} had a [small|cosy|tidy|warm] {home} {near}.
{New} lived {inp}. {He} was [kind|curious|clever|cheerful|gentle|quiet].
{H} lived in a [small|little|cosy|snug] {home} {inp}.
{H} was {new0}. {He} lived {inp}, {near}.
In a [small|little|quiet] {home} {inp} lived {new}.
Far away, {inp}, there lived {new}.
[One morning|One day|One evening|Early one morning], {h} [came out of {his} {home}|woke up early|sat in front of {his} {home}] {inp}.
It was a [warm|cold|bright|quiet|windy|grey] [morning|day|afternoon] {inp}. {H} was [sitting {near}|walking {near}|at home in {his} {home}].
Every [morning|day|evening], {h} walked {inp}. {He} [liked|loved] the place {near} most of all.""".split("\n")

FRIEND = """{H} had a [good|dear|close|best] friend, {fnew}.
{His} best friend was {fnew}.
Not far away lived {fnew}, and the two were good friends."""

MEET = """[On the way|Soon|A little later|Near the path], {he} met {fnew}."""

# (themes, plot). `@` starts a paragraph.
PLOTS = [
("losing things|friendship|helping", """
{H} had {aobj}, and {he} took it everywhere. One [morning|day|afternoon], the {obj} was gone. {H} looked [under the bed|behind the door|in every corner] and [in the yard|on the shelf|under the table], but {he} could not find it anywhere. {He} [began to cry|felt very sad|sat down and sighed].
@ {MEET} "Why are you so sad?" asked {f}. "I have lost my {cobj}," said {h}. "Then we will look for it together," said {f}. They [walked along the path|looked in the long grass|asked everyone they met] and looked {near}. At last {f} saw something {col} [in the leaves|under a bush|between two stones]. "[Look|Look there|Come here]!" {fhe} called. It was the {obj}!
@ {H} [hugged|thanked] {f} and [smiled|laughed with joy|danced around]. "Thank you, {fname}," {he} said. [From that day on, {h} always took good care of {his} {obj}.|After that, the two friends played with the {obj} together every day.|"Two friends find more than one," said {f}.]"""),
("being afraid|courage|bravery", """
{H} was afraid of {fear}. [Every time|Whenever] the others talked about it, {he} [hid in {his} {home}|shook all over|closed {his} eyes]. {FRIEND}
@ One {fearday}, {f} did not come home. "{F} needs help," thought {h}. "I must go, even if I am afraid." {H} took {aobj} and [went out|set off] alone. {His} heart beat fast, but {he} went on, step by step. {Near}, {he} heard a small voice. "I am here! I hurt my [foot|leg] and I cannot walk," said {f}.
@ {H} helped {f} to stand up, and together they went home slowly. "You are very brave," said {f}. "I was still afraid," said {h}, "but you are my friend." [From then on, {h} was not so afraid of {fear}.|That night, {h} slept well, because {he} knew that {he} was brave.|And {h} learned that being brave means to go on even when you are afraid.]"""),
("sharing|kindness|food", """
One day {h} found a basket full of {food} {near}. "What a [treat|surprise|feast]!" said {h}. "I will eat them all by myself." {He} carried the basket toward {his} {home}.
@ {MEET} {F} looked [tired|thin|cold] and hungry. "I have not eaten since yesterday," said {f}. {H} looked at the {food}, and then {he} looked at {f}. {He} [thought for a moment|was quiet for a while]. "Come and sit with me," {he} said at last. "There is enough for two." They ate the {food} together and told each other [stories|jokes|funny stories].
@ The next [day|week|winter], {h} had nothing to eat. There was a knock at the door. It was {f}, with a bag full of {food}. "You shared with me," said {f}, "and now I will share with you." [They became the best of friends.|{H} learned that sharing makes everything taste better.|From that day on, they ate together every evening.]"""),
("building|patience|working together", """
{H} wanted to build {abuild}. {He} gathered {stuff} and worked all [morning|day]. But {he} was in a hurry, and in the evening the {build} [fell down|fell apart|broke into pieces]. "It is no good," said {h}, and {he} [kicked a stone|sat down on the ground].
@ {MEET} {F} looked at the pieces. "May I help you?" {fhe} asked. "First we make a plan. Then we work slowly." {F} [held|measured] the parts while {h} put them together. It took [two|three|four] days, and sometimes it rained, but they did not stop.
@ At last the {build} was ready. It was [strong|strong and beautiful|better than {h} had dreamed]. "We did it!" {h} shouted. [They used it every day of that summer.|All the neighbours came to see it.|"Slow work is good work," said {f}, and {h} agreed.]"""),
("a storm|kindness|helping", """
One [evening|night], a great storm came. The wind [howled|roared|blew hard], and the rain fell on the roof. {H} was glad to be safe in {his} {home}, with {aobj} and a bowl of hot soup. Then {he} heard a knock.
@ {He} opened the door. Outside stood {fnew}, wet and cold. "The storm has taken my roof," said {f}. "May I stay here tonight?" "Of course," said {h}. "Come in and get warm." {H} gave {f} a [dry|warm|soft] blanket and half of the soup. They listened to the storm and played with the {cobj} until they fell asleep.
@ In the morning the sun was shining. {H} went with {f} and helped {fhim} to mend the roof. [When it was done, {f} gave {h} a big hug.|From that day on, they were good neighbours and good friends.|"A storm brought me a friend," said {h} with a smile.]"""),
("honesty|telling the truth", """
{FRIEND} {F} had {aobj}, and {fhe} loved it very much. One day, while {f} was away, {h} played with the {obj}. It slipped and fell to the ground, and it broke.
@ {H} [was frightened|did not know what to do]. {He} hid the pieces under [a bush|the bed|some leaves]. When {f} came back, {fhe} asked, "Have you seen my {cobj}?" "No," said {h}. But that night {h} could not sleep. The lie felt [heavy as a stone|cold and heavy].
@ In the morning, {h} went to {f}. "I broke your {obj}, and then I lied," {he} said. "I am very sorry." {F} was [sad|quiet] at first. Then {fhe} said, "Thank you for telling me the truth. We can mend it." They [glued|put] the pieces together with care. [The {obj} was not as pretty as before, but their friendship was stronger.|After that, {h} always told the truth.|{H} felt light and happy again.]"""),
("a race|being fair|winning", """
Every year there was a great race {inp}, from {near0} to the [big stone|old gate|tall pine] and back. The prize was {aobj}. {H} wanted to win it more than anything. {FRIEND} {F} wanted to win it too.
@ "Ready, steady, go!" called the [old judge|mayor|teacher]. {H} ran as fast as {he} could. Halfway, {h} was first. Then {he} heard a cry behind {him}. {F} had [fallen|fallen into a hole] and could not get up. {H} could see the end of the race. {He} could win! But {he} turned around and ran back.
@ "Why did you stop?" asked {f}. "A friend is better than a prize," said {h}. They walked to the end together, and they came in last. But everyone [clapped and cheered|cheered loudly], and the judge gave the {cobj} to both of them. [They shared it, one day for each.|It was the best race of all.|And they were very happy.]"""),
("being new|making friends|loneliness", """
{H} was new {inp}. {He} did not know anyone, and {he} felt very lonely. [Every day|Each afternoon] {he} sat {near} with {his} {cobj} and watched the others play.
@ One day, {fnew} came by. "What a nice {obj}!" said {f}. "Is it yours?" "Yes," said {h} in a small voice. "Would you like to [try it|see it|hold it]?" {F} sat down beside {him}. They took turns with the {obj}, and soon they were laughing. "Come and meet my friends," said {f}.
@ The others were kind, and they [taught {h} a new game|asked {h} to play, too]. When the sun went down, {h} went home with a [warm heart|big smile]. "[Mother|Grandmother], I am not new anymore," {he} said. "I have friends." [And {he} was never lonely again.|From then on, {he} played with them every day.|The next day, {h} and {f} met again in the same place.]"""),
("learning|practice|not giving up", """
{H} wanted to learn to {skill}, but {he} could not do it. The first time {he} tried, {he} [made a mess of it|failed|got it all wrong], and [some children laughed|the crows laughed]. "I will never learn," said {h}.
@ {MEET} "I could not {skill} at first either," said {f}. "I tried a hundred times. Come, I will show you." Every day {f} and {h} met {near}. {H} tried, and failed, and tried again. On the [fifth|tenth|seventh] day it went a little better. [By the end of the month|When spring came|After many weeks], {h} could {skill} as well as {f}.
@ "[Look|Look at me]!" {he} called. "I can do it!" {F} [clapped|laughed with joy]. "You did not give up," said {f}. "That is the secret." [Later, {h} taught a smaller friend in the same way.|{H} was very proud that day.|And {h} never said the word never again.]"""),
("a small kindness|helping|trapped", """
One day, {h} heard a thin cry {near}. {Fnew} was caught in [a net|an old net|some thorns|a tangle of rope] and could not get out. "Please help me," said {f}. "I am so tired." {H} worked with {his} [hands|teeth|whole strength] until {f} was free. "Thank you," said {f}. "One day I will help you, too." {H} smiled, for {f} looked very small.
@ Some weeks later, {h} dropped {his} {cobj} into a deep, narrow hole. {He} could not reach it. {He} tried with a stick and with a rope, but it was no use. Then {f} came by. "I am small," said {f}, "and that is just right." {FHe} climbed down into the hole and came back with the {obj}.
@ "You kept your word," said {h}. [From that day on, they were friends.|"No friend is too small to help," said {f}.|And {h} learned that a small kindness is never lost.]"""),
("a journey|a letter|helping", """
One day, an {x} asked {h} to take a letter to {fnew}, who lived far away. "The way is long," said the {x}. "Take this {cobj} with you. You may need it." {H} put the {obj} in {his} bag and [set off|started to walk].
@ On the first day {he} crossed a [wide field|dark forest]. On the second day {he} climbed a [steep hill|high mountain]. On the third day {he} came to a river, and the bridge was [gone|broken]. {H} was tired and wanted to go home. But {he} had made a promise. {He} gave the {cobj} to a ferryman, and the ferryman took {him} across.
@ That evening, {h} knocked at a door. {F} opened it and read the letter. {FHis} eyes were [shining|full of happy tears]. "It is from my sister," {fhe} said. "I thought that she had forgotten me. Thank you!" {F} gave {h} [a warm supper|some {food}|a soft bed] and a place by the fire. [{H} had kept {his} promise, and {he} slept very well.|The next day, {f} went back with {h} to see {fhis} sister.]"""),
("a garden|a seed|patience", """
One spring day, {h} found a [strange|tiny|shiny] seed {near}. {He} planted it in front of {his} {home} and gave it water. Then {he} sat down to wait. Nothing happened. "This seed is [broken|too slow]," said {h}.
@ {MEET} "Good things need time," said {f}. "Give it water every day, and wait." So {h} waited. One week went by, and then another. {He} sang to the seed and kept it warm. [One morning|At last], a small green leaf came out of the earth. Every day it grew a little taller, and {f} came to look at it.
@ In the summer, the plant had a big {col} flower. It was the most beautiful flower {inp}. "You were right," said {h}. "It only needed time." {He} gave {f} [a seed from the flower|the first seed], so that {f} could plant it, too. [Soon there were {col} flowers everywhere.|And that is how the {place} became full of flowers.|And they waited together for the next spring.]"""),
("a quarrel|saying sorry|friendship", """
{FRIEND} They had {aobj}, and they shared it. But one day they both wanted it at the same time. "It is my turn!" said {h}. "No, it is mine!" said {f}. They pulled and pulled, until the {obj} [broke|fell into the mud]. "I do not want to play with you anymore," said {h}, and {he} went home.
@ That evening, {h} felt sad. The {home} was very quiet. {He} thought about all the good days with {f}. "A {obj} is only a {obj}," thought {h}, "but {f} is my friend." The next morning {he} went out, and {near} {he} met {f}, who was coming to see {him}. "I am sorry," they both said at the same time. Then they [laughed|both laughed].
@ Together they [mended|cleaned] the {obj}. "You may have it first," said {h}. "No, you first," said {f}. [In the end, they played with it together.|And they never quarrelled about it again.|And so they were friends again, as before.]"""),
("a birthday|a surprise|friendship", """
It was {hs} birthday, but nobody said a word about it. {FRIEND} In the morning, {f} walked past {him} and only said, "Good morning." [Nobody sang.|There was no cake.] "They have all forgotten," thought {h}. {He} went {near0w} and sat there alone all afternoon.
@ When it grew dark, {h} walked home slowly. There was no light in the {home}. {He} opened the door. "Surprise!" shouted many voices. All {his} friends were there, with [lanterns|candles|paper flags] and a big plate of {food}. In the middle stood {f} with a [box|parcel]. "We worked all day," said {f}. "We had to be very quiet."
@ {H} opened it and found {aobj}. "It is just what I wanted!" {he} said. They [sang and danced|ate and played] until late at night. [It was the best birthday of {his} life.|"I will never forget this day," said {h}.|And {h} knew that {he} had good friends.]"""),
("someone scary|making friends|kindness", """
Everyone {inp} was afraid of {fnew}. "{F} is [big and mean|loud and angry]," they said. "Never go {near0w}!" One day, {hs} {cobj} rolled away, straight to the place where {f} lived. {H} wanted {his} {obj} back, so {he} went on tiptoe to get it.
@ "Who is there?" said a deep voice. {H} wanted to run away, but {his} legs did not move. Then {he} saw that {f} was crying. "Why are you crying?" asked {h}. "Because everyone runs away from me," said {f}. "I only want a friend." {H} was quiet for a moment. "I am not running," said {h}. "Would you like some {food}?"
@ They sat down and ate, and {f} gave the {obj} back. {F} knew many good [songs|stories|jokes]. The next day, {h} brought the others, too. [Soon nobody was afraid of {f} anymore.|"We were wrong about you," they said, and {f} smiled.|And {h} learned that you must meet someone before you judge.]"""),
("the moon|a wish|night", """
One clear night, {h} looked up and saw a star fall from the sky. It fell down {near}. {H} ran outside with {aobj} and looked for it. There in the grass lay a tiny star, and it shone like [silver|gold|a candle]. "I fell," said the star in a small voice. "Can you help me to get home?"
@ {H} thought hard. {FRIEND} "We must go to the highest place," said {f}. So they carried the star up the hill, and {h} put it on the {cobj}. "Now, one, two, three!" they called, and they threw the star up as high as they could. It flew up and up, until it was back in its place.
@ "Thank you," said the star from far away. "You may make a wish." {H} looked at {f} and smiled. "I have a good friend and a warm {home}," {he} said. "I wish that everyone had the same." [And the star shone brighter than all the others.|Every night after that, the star winked at them.|Then they went home and slept well.]"""),
("snow|winter|playing", """
One winter morning, {h} looked out and everything was white. "Snow!" {he} shouted. {He} put on a [warm hat|thick scarf] and ran outside. {FRIEND} {F} was already there, with {aobj}.
@ First they [made a snowman|built a big snowman|made a round snowman]. They gave it two stones for eyes and a carrot for a nose, and they put the {obj} beside it. Then they [slid down the hill|threw snowballs], again and again. Once {h} fell into the deep snow, and only {his} [ears|feet] could be seen. {F} laughed and pulled {him} out.
@ When their feet were cold, they went to {hs} {home} and drank hot [milk|cocoa|tea]. "I hope that it snows again tomorrow," said {f}. [In the night, more snow fell.|Outside, the snowman stood in the moonlight and seemed to smile.|And the next morning, everything was white again.]"""),
("lost|finding the way home|being clever", """
One day, {h} went for a long walk with {his} {cobj}. {He} followed a [butterfly|small stream|winding path] and did not look back. Then a thick fog came, and {h} could not see the way. "Where am I?" {he} said. Every [tree|stone|path] looked the same.
@ {MEET} "I am lost, too," said {f}. At first they were both afraid. Then {h} had an idea. "Let us make a mark at every turn," {he} said, "so that we do not walk in a circle." They put small [stones|sticks] on the ground at every turn. {H} [listened|listened carefully], and far away {he} heard a bell. "That bell is {near}," {he} said. "We must go that way."
@ Step by step they walked toward the sound, and at last they saw a light. They were home! "You are very clever," said {f}. [After that, {h} always looked back when {he} went for a walk.|{H} was tired, but very happy.|And the two of them laughed about the fog for a long time.]"""),
("water|solving a problem|working together", """
One dry summer, the water {inp} was gone. The [flowers hung their heads|grass was brown], and everyone was thirsty. {H} wanted to know why. {He} took {his} {cobj} and followed the dry stream up the hill.
@ {MEET} Together they found the reason: a big rock had rolled into the stream, and the water could not get past. {H} pushed the rock, but it did not move. {F} pushed the rock, but it did not move. "Let us push together, at the same time," said {h}. "One, two, three!" The rock [moved a little|shook], then a little more, and then it rolled away with a great splash.
@ The water ran down again, clear and cold. Everyone {inp} [cheered|drank and laughed]. "How did you do it?" they asked. "Alone we could not," said {h}. "Together we could." [That night there was a big feast with {food}.|And the stream never ran dry again.]"""),
("pride|being humble|learning", """
{H} was proud of {his} {cobj}. "Mine is the best {obj} in the world," {he} told everyone. "Nobody has such a fine {obj} as I do." Soon nobody wanted to listen to {him} anymore.
@ {FRIEND} "Come with me," said {f} one day. {F} took {him} {near0w}, where a poor {x} was sitting. The {x} had only {aobj2}, old and worn, but {xhe} let everyone use it, and everyone was happy. {H} watched for a long time. {He} looked at {his} own {obj}. It was beautiful, but {he} was always alone with it.
@ The next day, {h} took the {cobj} to the others. "Would you like to use it?" {he} asked. They were surprised, and then they smiled. [{H} found that a {obj} is much nicer when it is shared.|And {h} never again said that {he} was the best.|"Now it really is the best {obj} in the world," said {f}.]"""),
("greed|having enough", """
One day, {h} found a tree full of {food2} {near}. {He} ate one, and it was very sweet. {FRIEND} "Take what you need," said {f}, "and leave the rest for the others." But {h} did not listen. {He} filled {his} bag until it was [as big as a pumpkin|too heavy to lift].
@ On the way home, the bag grew heavier and heavier. At the bridge, it [tore|broke], and all the {food2} fell into the water. {H} sat down and cried. "Now I have nothing," {he} said. {F} came and sat down next to {him}. {FHe} had only taken two, and {fhe} gave one to {h}.
@ "One is enough," said {f}. {H} ate it slowly, and it tasted better than all the others. [From that day on, {he} only took what {he} needed.|"You are right," said {h}. "One that you eat is better than a hundred in the river."|And {h} was never greedy again.]"""),
("magic|a wish|being wise", """
One day, {h} found {aobj} {near}. It was [dusty|covered with mud], so {h} cleaned it. Then a voice came out of the {obj}. "I am a magic {obj}," said the voice. "You have one wish. Think well!" {H} was so surprised that {he} sat down.
@ {He} thought about it all day. {He} could wish for gold, or for a mountain of {food}. {FRIEND} In the evening, {h} went to see {f}, who had been ill for a long time. {F} lay in bed and could not play. Then {h} knew what to do. "I wish that {f} will be well again," {he} said to the {cobj}.
@ There was a flash of {col} light. {F} sat up and jumped out of bed. "I feel wonderful!" {fhe} cried. The {obj} was only a plain {obj} now, and the magic was gone. [But {h} was not sorry.|But {h} was happier than any king.|"It was the best wish of all," said {h}.]"""),
("cooking|soup|working together", """
One cold day, {h} was hungry, but there was only [one onion|one carrot|one potato] in the {home}. "I will make soup," {he} said, and {he} put a big pot of water on the fire in front of the door.
@ {MEET} "What are you cooking?" asked {f}. "Soup for everyone," said {h}, "but it needs a little more." "I have some [beans|mushrooms|corn]," said {f}, and {fhe} put them into the pot. Soon others came. One brought salt, one brought [leeks|peas|cabbage], and one brought some bread. {H} stirred the pot, and the soup smelled better and better.
@ When it was ready, there was enough for everyone. They sat around the fire and ate until they were full. "How can one [small|little] meal feed so many?" asked {f}. "Everyone gave a little," said {h}. [And nobody was hungry that night.|They did the same every winter after that.]"""),
("music|a song|friendship", """
{H} had {ainst}, and {he} played it every day. But {he} always played alone, and the song always sounded [a little sad|thin]. One day, while {h} was playing {near}, {he} heard someone singing along. It was {fnew}.
@ "I like your song," said {f}. "May I sing with you?" "Yes, please," said {h}. They started again from the beginning. {H} played, and {f} sang, and the music was [twice as good|warm and full]. [The birds in the trees became quiet to listen.|Some people stopped and began to dance.] By the evening, a crowd was standing around them.
@ "Play it again!" they all called. So they played it again and again, until the moon was in the sky. "My song needed your voice," said {h}. [From that day on, they made music together every week.|"And my voice needed your song," said {f}.]"""),
("sleep|bedtime|night", """
One night, {h} could not fall asleep. {He} [turned to the left and to the right|counted to one hundred], but it was no use. {He} took {his} {cobj} and went outside. The night was [still|soft and dark], and the moon stood over the {place}.
@ {FRIEND} {F} was awake as well. "I cannot sleep," said {h}. "Then let us listen to the night," said {f}. They sat down {near}. First they heard the wind in the leaves. Then they heard an owl, far away. Then they heard the water, going on and on. {F} told an old story, slowly and quietly, and {h} leaned on {fhis} shoulder.
@ When the story was over, {h} was already half asleep. {F} brought {him} home and covered {him} with a warm blanket. "Good night," said {f}. [And soon everyone {inp} was asleep.|{H} smiled in {his} sleep and held the {obj} tight.|And {h} slept until the sun was high.]"""),
]

SHORT = [
"{Onew} found {aobj} {near}. {He} [took it home|picked it up] and [showed|gave] it to {his} friend {fname0}. They were both very happy.",
"{Onew} wanted to learn to {skill}. {He} tried every day. At last {he} could do it, and {he} was very proud.",
"{Onew} met {fnew0} {near}. They shared some {food} and became friends. [They met every day after that.|They were never lonely again.]",
"{Onew} was afraid of {fear}. {His} friend {fname0} [took {his} hand|stayed with {him}] and said, \"I am here.\" Then {h} was not afraid anymore.",
"{Onew} lost {his} {cobj} {inp}. {He} looked everywhere. At last {he} found it {near} and [smiled|laughed].",
]


def expand(rng, text, slots):
    """Settles the choices, innermost first, then fills in the slots."""
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda m: rng.choice(m[1].split("|")), text)
    while "{" in text:
        text = re.sub(r"\{(\w+)\}", lambda m: slots(m[1]), text)
    text = re.sub(r" +", " ", text.replace("\n", " "))
    text = re.sub(r" *@ *", "\n\n", text)
    # A sentence starts with a capital, also where a slot or a choice starts it.
    return re.sub(r'(^|\n|(?<!Mr)\. |[.]" )([a-z])', lambda m: m[1] + m[2].upper(), text).strip()


def cap(s):
    return s[0].upper() + s[1:]


class Character:
    def __init__(self, rng, taken=(), kind=None, name=None, named=None):
        self.kind = kind or rng.choice(["girl", "boy"] + [rng.choice(list(w.ANIMALS))] * 3 +
                                       [rng.choice(list(w.FANTASY))])
        sex = {"girl": "f", "boy": "m"}.get(self.kind) or w.GENDER.get(self.kind) or rng.choice("fm")
        if name:
            sex = "f" if name in w.GIRLS else "m" if name in w.BOYS else sex
        self.he, self.him, self.his = ("she", "her", "her") if sex == "f" else ("he", "him", "his")
        child = self.kind in ("girl", "boy")
        # A story whose two characters are called the same would be hard to follow.
        free = [n for n in (w.GIRLS if sex == "f" else w.BOYS) if n not in taken]
        named = child or (rng.random() < 0.55 if named is None else named)
        self.name = name or (rng.choice(free) if named else None)
        size = rng.choice(["little", "small", "young", "old", "little", "clever"])
        if child:
            size = rng.choice(["little", "young", "small", ""])
        noun = f"{size} {self.kind}".strip()
        self.new = w.a(noun) + (rng.choice([" named ", " called "]) + self.name if self.name else "")
        self.ref = self.name or f"the {self.kind}"
        self.alt = None if child else f"the {noun}" if rng.random() < 0.5 else f"the {self.kind}"
        self.noun, self.call = noun, self.name or noun
        self.home = w.FANTASY.get(self.kind) or (w.ANIMALS[self.kind][0] if self.kind in w.ANIMALS
                                                 else rng.choice(["house", "cottage", "cabin"]))


class Story:
    """One cast and its words; `text()` tells a story with it."""

    def __init__(self, rng, hero=None, friend=None, obj=None, place=None, theme=None):
        self.rng = rng
        self.hero = hero or Character(rng)
        self.friend = friend or Character(rng, taken=(self.hero.name,))
        while self.friend.kind == self.hero.kind and not (self.friend.name and self.hero.name):
            self.friend = Character(rng, taken=(self.hero.name,))
        self.col = rng.choice(w.COLOURS)
        self.obj = obj or rng.choice(w.OBJECTS)
        look = self.col if rng.random() < 0.7 else rng.choice(["small", "old", "new", "shiny", "wooden"])
        self.cobj = f"{look} {self.obj}"
        self.place = place or rng.choice(list(w.PLACES))
        prep, spot = w.PLACES[self.place]
        by = rng.choice(["near", "next to", "under", "behind"] if "tree" in spot else
                        ["near", "next to", "beside"])
        fits = [p for t, p in PLOTS if theme and theme in t.split("|")] or [p for _, p in PLOTS]
        if obj:  # a story about a kite should have much to say about the kite
            fits = [p for p in fits if p.count("obj}") >= 4] or fits
        self.plot = rng.choice(fits)
        fear = rng.choice(list(w.FEARS))
        build = rng.choice(list(w.BUILDS))
        h, f, o = self.hero, self.friend, self.obj
        self.met = set()  # who has been named already: only they may be called "the little fox"
        other = rng.choice(["old man", "old woman"])
        food = rng.choice(w.FOODS)
        self.words = {
            "he": h.he, "him": h.him, "his": h.his, "new": h.new, "home": h.home,
            "new0": w.a(h.noun), "hs": h.ref + "'s", "fs": f.ref + "'s",
            "fhe": f.he, "fhim": f.him, "fhis": f.his, "fnew": f.new, "fname": cap(f.call),
            "fname0": f.name or f"the {f.kind}", "fnew0": f.new,
            "obj": o, "cobj": self.cobj, "aobj": w.a(self.cobj), "aobj2": w.a(o), "col": self.col,
            "ainst": w.a(rng.choice([self.col, "old", "small"]) + " " +
                         (o if o in ("drum", "flute", "whistle", "bell") else
                          rng.choice(["flute", "drum", "fiddle", "guitar"]))),
            "place": self.place, "inp": f"{prep} the {self.place}", "near": f"{by} {spot}",
            "near0": spot, "near0w": f"to {spot}", "fear": fear, "fearday": w.FEARS[fear],
            "food": food, "food2": rng.choice("apples plums pears cherries peaches oranges".split()),
            "skill": rng.choice(list(w.SKILLS)), "build": build, "abuild": w.a(build),
            "stuff": w.BUILDS[build], "MEET": MEET,
            "FRIEND": rng.choice(FRIEND.split("\n")),
            "x": other, "xhe": "he" if other == "old man" else "she",
            "Onew": f"Once upon a time, {h.new}" if rng.random() < 0.4 else f"One day, {h.new}",
        }

    def slot(self, key):
        if key in ("h", "H", "f", "F"):
            who = self.hero if key in "hH" else self.friend
            use_alt = (who in self.met and who.alt and self.hero.kind != self.friend.kind
                       and self.rng.random() < 0.15)
            self.met.add(who)
            word = who.alt if use_alt else who.ref
            return cap(word) if key.isupper() else word
        if key in self.words:
            return expand_choices(self.rng, self.words[key])
        low = key[0].lower() + key[1:] if key not in ("FHe", "FHis") else key.lower()
        return cap(self.words[low])

    def title(self):
        h = self.hero.name or f"the {self.hero.kind}"
        t = self.rng.choice([f"{h} and the {self.cobj}", f"{h} and {self.friend.call}",
                             f"The {self.cobj}", f"{h} and the {self.obj}"])
        small = ("and", "the", "of", "a")
        return cap(" ".join(x if x in small else cap(x) for x in t.split()))

    def text(self, short=False):
        if short:
            return expand(self.rng, self.rng.choice(SHORT), self.slot)
        opening = self.rng.choice([o for o in OPENINGS if self.suits(o)])
        return expand(self.rng, f"{opening} {self.plot}", self.slot)

    def suits(self, opening):
        """No place named twice, no time set twice, nobody's name before their introduction."""
        start = self.plot.split("@")[0]
        if "{near}" in opening and "{near}" in start:
            return False
        timed = opening.startswith(("[One", "It was", "Every"))
        if timed and re.search(r"\b(One|Every|It was)\b", start):
            return False
        if "{new0}" in opening:
            return bool(self.hero.name)
        return bool(re.search("{new}", opening, re.I)) or not (self.hero.alt and self.hero.name)


def expand_choices(rng, text):
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda m: rng.choice(m[1].split("|")), text)
    return text
