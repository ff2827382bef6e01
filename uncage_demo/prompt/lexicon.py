"""Word lists of the prompt parser: function words, describing words, colours, materials, and near meanings.

Written for picture prompts, in English. A word that is in no list is taken for a noun, unless its ending and its place say otherwise
(tagging.py, grammar.py), so the lists hold what is *not* a noun. Knows nothing of any model.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words("a an the this these those my your his her its our their some any each every another one's whose")
NUMBERS = _words("one two three four five six seven eight nine ten eleven twelve dozen several many few multiple both all")
# Numbers that say how many of the thing that follows are wanted
_ONE_TO_TWELVE = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
COUNTS = {word: number for number, word in enumerate(_ONE_TO_TWELVE, start=1)}
COUNTS |= {str(number): number for number in COUNTS.values()}
# Words for a vague number, and the number that is drawn for them
VAGUE_COUNTS = {"couple": 2, "pair": 2, "pairs": 2, "both": 2, "some": 2, "few": 3, "several": 3, "multiple": 3, "many": 3, "dozen": 12}
# Words that may stand between a number and its noun: "two of the other red cats", "two more cats"
COUNT_PASSES = _words("more other others different new additional extra identical")
# Plurals of one thing
PLURAL_OF_ONE = _words(
    "glasses sunglasses eyeglasses spectacles goggles scissors pants trousers jeans shorts tights leggings pyjamas pajamas clothes"
    " headphones earphones binoculars pliers tweezers tongs stairs overalls underpants"
)
# Words in -s that are no plurals, besides those in -ss, -us and -is
_SINGULAR_IN_S = _words(
    "gas christmas canvas atlas lens bias texas kansas mars paris athens brussels wales naples series species news mathematics physics"
    " always perhaps has was its is"
)
_PLURAL_IN_IS_OR_US = _words("skis taxis bikinis kiwis menus gurus emus")


def is_plural(lower: str) -> bool:
    """Whether a lower-case noun names two or more things ("cats", "mice"); not "glasses", "bus" or "dress"."""
    last = lower.rsplit(" ", 1)[-1].rsplit("-", 1)[-1]
    if last in IRREGULAR_PLURALS:
        return True
    if last in PLURAL_OF_ONE or last in _SINGULAR_IN_S or len(last) < 4 or not last.endswith("s"):
        return False
    return last in _PLURAL_IN_IS_OR_US or not last.endswith(("ss", "us", "is"))


CONJUNCTIONS = _words("and or & + plus as well nor")
RELATIVES = _words("that which who")
PRONOUNS = _words(
    "it he she they them him there everything something nothing everyone someone you i we me us other others itself"
    " i'd i'll i'm i've you're we're they're don't doesn't isn't aren't u"
)
# "but": "a cat but red" describes the cat
# "'s" after one of these is "is": "an apple that's green"
BEFORE_IS = RELATIVES | _words("it he she there here what where")
COPULAS = _words("but yet is are was were be been being looks look seems appears becomes turns")
# "a chair painted red", "a car made of glass", "a man dressed in black": what follows describes the noun before
DESCRIBING_PARTICIPLES = _words("painted colored coloured dyed dressed clad made built crafted carved coated covered tinted")
NEGATIONS = _words("without no not never none minus except lacking excluding")
# Prepositions and verbs that only put things side by side or on one another's body: safe to pass over in a closed vocabulary
PLAIN_RELATIONS = _words(
    "with next to beside near by alongside along together wearing wears wear holding holds carrying carries having has have featuring"
    " containing showing shows depicting depicts plus of at in on side"
)
RELATIONS = PLAIN_RELATIONS | _words(
    "from into onto under underneath beneath below over above behind before after between among amid against around across through"
    " inside outside within upon toward towards off out up down past during for like than while where when because although though if"
    " unless until since about atop"
)
VERBS = _words(
    "sits sitting sit stands standing stand lies lying lie rides riding ride eats eating eat drinks drinking drink plays playing play"
    " runs running run walks walking walk jumps jumping jump flies flying chases chasing chase looks looking sleeps sleeping holds hangs"
    " hanging reads reading swims swimming kicks kicking throws throwing catches catching hugs hugging kisses kissing surrounded does do"
    " did will can could would should must may might getting gets get taking takes filled following follows meets meeting cut cuts fell"
    " ran ate flew swam drank slept wore rode facing faces touching touches leaning leans pulling pushing driving drives shone blew grew"
    " stood sang rang sank spoke stole broke woke wrote threw drove gave took came went fought spat bent says say said"
)
# Words of place and time that name no thing unless a noun follows: "in front of", "on the left", "at night"
POSITIONS = _words(
    "front top bottom left right middle center centre back side sides edge corner foreground background distance night day dusk dawn"
    " noon midnight daytime nighttime"
)
# Times of day that could also be things ("a red sunset"): they name none after "at" or "before"
TIMES = _words("sunset sunrise twilight midday nightfall daybreak morning evening")
BEFORE_TIMES = _words("at before after until during")
# Words that say how something is, and name nothing, after "in": "a bird in flight"
MANNERS = _words(
    "love flight motion action formation profile focus detail color colour silhouette bloom progress line row place disguise shape pain"
    " peace harmony unison midair mid-air contrast"
)
# "a photo of a cat": what stands before "of" is no object of the scene
FRAMES = _words(
    "photo photos photograph photographs picture pictures image images painting paintings drawing drawings illustration illustrations"
    " sketch rendering render shot closeup close-up portrait portraits view scene snapshot poster watercolor watercolour pair pairs"
    " pic pics group groups bunch piece pieces slice slices kind type set couple lot number herd flock pack pile row"
)
# Style words that prompts carry along and that name nothing in the scene
STYLE_WORDS = _words(
    "4k 8k 16k 3d 2d hd uhd hdr hq masterpiece quality resolution detailed realistic photorealistic hyperrealistic cinematic lighting"
    " style trending artstation bokeh render octane unreal sharp focus best art artwork hyperdetailed"
)
DEGREE_WORDS = _words(
    "very quite rather really extremely slightly somewhat fairly so too highly super most more almost entirely completely just"
)

COLORS = _words(
    "black blue brown gray grey green orange pink purple red white yellow violet gold golden silver teal cyan magenta maroon navy beige"
    " turquoise lavender crimson scarlet indigo azure ivory cream tan khaki burgundy mauve lilac fuchsia aqua ochre vermilion blond"
    " blonde reddish bluish greenish yellowish brownish grayish greyish purplish pinkish whitish blackish multicolored multicoloured"
    " colorful colourful rainbow"
)
# Colours and materials that are also things: "an orange car" but "an apple and an orange"
DUALS = _words(
    "orange gold silver violet cream lavender peach plum olive lemon lime salmon coral mustard ruby emerald turquoise amber rust copper"
    " bronze chocolate ivory rainbow navy metal steel iron brass tin glass wood stone marble brick concrete clay ceramic porcelain"
    " leather silk cotton wool linen velvet denim fabric cloth fur plastic rubber paper cardboard bamboo straw ice snow sand rock"
    " crystal diamond pearl bone wax wicker baby toy light dark cold cool adult male female cartoon vintage antique"
)
# A shade and the colour after it are one attribute: "dark blue", "sky blue", "hot pink"
SHADES = _words("dark light bright pale deep hot neon pastel vivid dull muted navy sky royal baby forest olive lime mint rose off")

ADJECTIVES = _words(
    "big small large little tiny huge giant enormous gigantic massive mini miniature tall short long wide narrow thin thick fat slim"
    " skinny chubby heavy high low deep shallow old new young ancient modern antique fresh rotten ripe raw clean dirty dusty muddy wet"
    " dry warm hot cold frozen icy burnt soft hard rough smooth sharp blunt flat round square rectangular triangular oval curved"
    " straight bent broken cracked torn empty full open closed shut bright dark pale dim shiny glossy matte transparent clear opaque"
    " dull vivid neon pastel metallic wooden woolen woollen golden earthen stripy striped spotted dotted checkered plaid patterned plain"
    " floral furry fluffy fuzzy hairy bald curly spiky scaly feathery bushy shaggy woolly cute pretty beautiful ugly lovely handsome"
    " elegant fancy fine simple nice good bad great best better worst perfect strange weird odd funny silly happy sad angry calm"
    " friendly lonely scary cruel brave shy proud tired sleepy lazy hungry thirsty sick strong weak fast slow quick quiet loud noisy"
    " rich poor cheap expensive rare common wild tame domestic tropical arctic northern southern eastern western urban rural royal noble"
    " holy magic magical mythical robotic mechanical electric electronic digital analog fake real single double triple whole half own"
    " same different similar opposite other first second third last next upper lower inner outer sweet sour bitter salty spicy delicious"
    " juicy creamy crispy crunchy american african asian european chinese japanese indian french german italian spanish english british"
    " russian mexican egyptian greek roman persian siamese ready poly circular oblong cozy cosy airy hazy wavy tidy oily"
)
# Names of one thing in two words, of which the first would else be read as describing the second: a hot dog is no dog
COMPOUNDS = frozenset(
    tuple(pair.split("-"))
    for pair in _words(
        "hot-dog hot-air traffic-light traffic-cone teddy-bear potted-plant parking-meter dining-table dining-room ice-cream"
        " ice-cube ice-skate swimming-pool washing-machine sewing-machine vending-machine rocking-chair rocking-horse"
        " shopping-cart shopping-bag sleeping-bag baking-tray cutting-board frying-pan chopping-board ironing-board"
        " diving-board walking-stick fishing-rod fishing-boat sailing-boat rubber-duck paper-clip paper-plane paper-airplane"
        " glass-slipper snow-globe snow-leopard rock-climber orange-juice lemon-tree olive-tree plum-tree peach-tree"
        " chocolate-bar chocolate-cake cotton-candy bamboo-forest light-bulb light-switch high-chair high-heels stained-glass"
        " electric-guitar magic-wand musical-instrument musical-note baby-carriage toy-box crystal-ball fire-truck police-car"
        " spinning-wheel building-block living-room waiting-room drawing-room sitting-room changing-room bathing-suit"
        " diving-suit dressing-table dressing-gown mixing-bowl measuring-cup cooking-pot watering-can knitting-needle"
        " chewing-gum filing-cabinet running-shoe hiking-boot riding-boot racing-car climbing-wall drinking-fountain"
        " spinning-top wedding-cake wedding-dress french-fries swiss-knife german-shepherd"
    )
)
# Past forms that are also things: verbs between a noun and a preposition or article ("the rocks rose above the sea")
PAST_OR_THING = _words("rose saw felt found wound bore lay left")
IRREGULAR_PARTICIPLES = _words(
    "hidden held driven eaten ridden worn drawn written thrown caught seen chosen taken given bitten beaten taught bought brought shown"
    " sewn woven grown torn sunk hung kept lit sat stood lain shot hit split fed led tied laid set stuck swept wrapped kissed built spun"
    " struck"
)
# After one of these and "to" comes a verb: "about to jump"
BEFORE_INFINITIVES = _words(
    "about ready trying tries going wants want wanting preparing prepares starting starts learning able waiting waits how order"
)
BODY_PARTS = _words(
    "eye eyes ear ears tail tails nose mouth teeth fur hair skin feathers wing wings leg legs arm arms hand hands paw paws foot feet"
    " beak horn horns hooves mane whiskers stripes spots scales shell beard mustache moustache face head neck body trunk tusks claws"
    " lips"
)
# -ing, -ed, -ly and -ish words that are nouns, or describe without being verbs
NOUN_ENDINGS_KEPT = _words(
    "king ring wing building painting string ceiling earring pudding swing sling spring thing wedding clothing duckling dumpling"
    " evening morning railing icing stuffing seedling bed seed shed sled weed reed bobsled feed steed moped hundred breed speed teddy"
    " fly butterfly dragonfly firefly housefly family belly jelly lily holly bully dolly ally bubbly fish"
)

IRREGULAR_PLURALS = {
    "mice": "mouse",
    "geese": "goose",
    "men": "man",
    "women": "woman",
    "children": "child",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "knives": "knife",
    "wolves": "wolf",
    "leaves": "leaf",
    "calves": "calf",
    "people": "person",
    "loaves": "loaf",
    "shelves": "shelf",
}

# Words that ask for a picture and name nothing in it; verbs only before the first thing that is named ("draw a cat")
REQUESTS = _words(
    "prompt please draw show make paint create generate render give want need imagine design depict sketch illustrate produce visualize"
    " visualise can could would like let see me i you us hi hello hey thanks pls plz thx ty u ur i'd i'll let's what how gimme"
)
# Requests that need nothing after them to be known as such
PLAIN_REQUESTS = _words(
    "please draw show generate create make give imagine want i can could would let visualize visualise depict prompt hi hello hey"
    " pls plz what how gimme i'd let's"
)
# Nouns and adjectives of style: what a picture is like, not what is in it
STYLE_NOUNS = STYLE_WORDS | _words(
    "cyberpunk steampunk vaporwave synthwave dieselpunk solarpunk anime manga pixar disney ghibli dreamworks minimalist minimalism"
    " minimalistic surrealism surreal impressionism impressionist expressionism cubism baroque renaissance rococo fantasy sci-fi scifi"
    " noir retro photography photo photograph painting illustration rendering concept light lights volumetric deviantart engine blender"
    " 3d 2d dof lens 35mm 50mm 85mm film grain polaroid kodak isometric lowpoly low-poly voxel pixel watercolor watercolour acrylic"
    " gouache pastel ink sketch lineart vector clipart logo wallpaper poster macro close-up closeup portrait wide-angle telephoto"
    " dramatic atmosphere atmospheric mood moody aesthetic aesthetics styled composition detail details intricate award-winning winning"
    " hyperrealism photorealism realism ultra hyper palette shadows reflections depth cgi raytracing ray-tracing hyper-detailed"
    " ultra-detailed high-quality highres high-res hi-res dreamy ethereal whimsical epic stunning professional studio 16:9 matte rim"
    " backlit backlight golden-hour hour symmetrical symmetry monochrome flat"
)
# What a picture is made with, and on: "oil on canvas"
MEDIA = _words(
    "oil oils acrylic acrylics ink pencil pencils pen charcoal chalk pastel pastels watercolor watercolour gouache crayon tempera"
)
GROUNDS = _words("canvas paper panel board linen wood cardboard")

# Nouns that name no thing of the scene: light, colour, point of view, parts of the picture
SCENE_WORDS = _words(
    "light lights lighting sunlight moonlight shadow shadows color colour colors colours time world air moment mood atmosphere detail"
    " details background foreground edge edges corner distance center centre middle front back side sides left right top bottom view"
    " angle frame hand-drawn cartoon clipart emoji emojis icon icons sticker stickers style styles theme day daytime morning afternoon"
    " evening dusk dawn sunset sunrise noon ones row line others camera viewer"
)

# Words that people type for things of a small vocabulary; only ever shown as suggestions, never replaced silently
NEAR_MEANINGS = {
    "puppy": "dog",
    "pup": "dog",
    "doggy": "dog",
    "hound": "dog",
    "poodle": "dog",
    "corgi": "dog",
    "husky": "dog",
    "wolf": "dog",
    "fox": "dog",
    "kitty": "cat",
    "kitten": "cat",
    "feline": "cat",
    "tiger": "lion",
    "leopard": "lion",
    "cheetah": "lion",
    "panther": "lion",
    "lioness": "lion",
    "bunny": "rabbit",
    "hare": "rabbit",
    "tortoise": "turtle",
    "toad": "frog",
    "pony": "horse",
    "donkey": "horse",
    "zebra": "horse",
    "stallion": "horse",
    "unicorn": "horse",
    "mammoth": "elephant",
    "ape": "monkey",
    "chimp": "monkey",
    "chimpanzee": "monkey",
    "gorilla": "monkey",
    "rat": "mouse",
    "hamster": "mouse",
    "parrot": "bird",
    "owl": "bird",
    "eagle": "bird",
    "duck": "bird",
    "chicken": "bird",
    "hen": "bird",
    "sparrow": "bird",
    "pigeon": "bird",
    "penguin": "bird",
    "panda": "bear",
    "teddy": "bear",
    "grizzly": "bear",
    "fruit": "apple",
    "pear": "apple",
    "peach": "apple",
    "bag": "backpack",
    "rucksack": "backpack",
    "knapsack": "backpack",
    "purse": "suitcase",
    "luggage": "suitcase",
    "trunk": "suitcase",
    "briefcase": "suitcase",
    "automobile": "car",
    "auto": "car",
    "vehicle": "car",
    "truck": "car",
    "taxi": "car",
    "bus": "car",
    "sofa": "bench",
    "couch": "bench",
    "seat": "chair",
    "stool": "chair",
    "armchair": "chair",
    "throne": "chair",
    "watch": "clock",
    "alarm": "clock",
    "timer": "clock",
    "tiara": "crown",
    "hat": "crown",
    "diadem": "crown",
    "sunglasses": "glasses",
    "spectacles": "glasses",
    "goggles": "glasses",
    "eyeglasses": "glasses",
    "ribbon": "bow",
    "tie": "bow",
    "plate": "bowl",
    "dish": "bowl",
    "cup": "bowl",
    "pot": "bowl",
    "crimson": "red",
    "scarlet": "red",
    "ruby": "red",
    "maroon": "red",
    "burgundy": "red",
    "vermilion": "red",
    "navy": "blue",
    "azure": "blue",
    "cyan": "blue",
    "teal": "blue",
    "turquoise": "blue",
    "indigo": "blue",
    "violet": "purple",
    "lavender": "purple",
    "lilac": "purple",
    "mauve": "purple",
    "magenta": "pink",
    "fuchsia": "pink",
    "rose": "pink",
    "gold": "yellow",
    "golden": "yellow",
    "blond": "yellow",
    "blonde": "yellow",
    "lemon": "yellow",
    "amber": "orange",
    "tan": "brown",
    "beige": "brown",
    "chocolate": "brown",
    "khaki": "brown",
    "bronze": "brown",
    "silver": "gray",
    "grey": "gray",
    "olive": "green",
    "lime": "green",
    "emerald": "green",
    "mint": "green",
    "ivory": "white",
    "cream": "white",
    "ebony": "black",
    "bluish": "blue",
    "reddish": "red",
    "greenish": "green",
    "yellowish": "yellow",
    "brownish": "brown",
    "grayish": "gray",
    "greyish": "gray",
    "purplish": "purple",
    "pinkish": "pink",
    "whitish": "white",
    "blackish": "black",
    "near": "next to",
    "by": "beside",
    "under": "next to",
    "above": "next to",
    "behind": "beside",
}
