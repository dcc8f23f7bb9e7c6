"""The words that `minivl data audit` counts. Edit them: an audit sees what is listed here, and nothing else.

Group -> category -> words. A star stands for the usual endings: "slice*" is slice, slices, sliced and slicing; other
forms of a word follow a bar: "put|puts". A word may be in several categories (a grandma is a woman and an older
person). The lists are English, short and debatable.
"""

WORDS = {
    "people": {
        "women": "woman|women lady|ladies girl|girls mother|mothers mom|moms|mum|mama wife sister daughter aunt "
        "grandma grandmother female waitress actress queen housewife",
        "men": "man|men gentleman guy|guys boy|boys father|fathers dad|dads|papa husband brother son uncle grandpa "
        "grandfather male waiter actor king",
        "gender not said": "someone|somebody person|persons|people everyone|everybody anyone individual|individuals",
        "children": "child|children kid|kids baby|babies toddler|toddlers boy|boys girl|girls teenager|teenagers son "
        "daughter",
        "older people": "grandma grandmother grandpa grandfather elderly senior|seniors pensioner",
        "roles at work": "cook chef baker teacher instructor coach doctor nurse mechanic carpenter plumber gardener "
        "engineer driver hairdresser waiter waitress farmer worker|workers artist police soldier "
        "presenter host student|students",
        "roles at home": "mother mom|mum father dad wife husband parent|parents housewife grandma grandmother grandpa "
        "grandfather family",
    },
    "pronouns": {
        "she": "she her hers herself",
        "he": "he him his himself",
        "they": "they them their theirs themselves",
        "i and we": "i me my mine myself we us our ours ourselves",
        "you": "you your yours yourself",
    },
    "activities": {
        "cooking": "slice* chop* peel* stir* pour* season* heat* chill* bake* fry|fries|fried|frying boil* "
        "cooking|cooked mix* grill* roast* simmer* knead* whisk* add* put|puts|putting",
        "cleaning": "clean* wash* wipe* scrub* mop* vacuum* sweep* dust* iron* laundry",
        "building and repair": "repair* fix* drill* saw* hammer* weld* paint* build|builds|building|built "
        "install* screw*",
        "sport": "run|runs|running jump* kick* throw|throws|throwing swim|swims|swimming climb* lift* ski* skate* "
        "play* exercise* stretch*",
        "body care": "shave* brush* comb* makeup hair braid* moisturize*",
        "care for others": "feed|feeds|feeding hold|holds|holding hug* nursing babysit* bathe*",
        "garden": "plant* garden* mow* rake* prune* dig|digs|digging watering",
        "driving": "drive|drives|driving steer*",
        "music and dance": "sing|sings|singing dance* guitar piano drum* violin",
        "crafts": "knit* sew* crochet* fold* cut|cuts|cutting glue* draw|draws|drawing",
        "office and computer": "type* computer laptop write|writes|writing phone email",
    },
    "places": {
        "kitchen": "kitchen stove oven fridge counter",
        "other rooms": "bathroom bedroom house home room garage basement office classroom",
        "workshop": "workshop workbench factory",
        "outdoors": "outdoors outside garden yard park forest beach river lake mountain snow field farm",
        "street": "street road sidewalk city town car bus",
        "sports places": "gym court pool stadium rink track",
    },
}


def forms(entry: str) -> set[str]:
    """The words that an entry of a list stands for."""
    if not entry.endswith("*"):
        return set(entry.split("|"))
    stem = entry[:-1]
    short = stem.removesuffix("e")
    return {
        stem,
        stem + "s",
        stem + "es",
        short + "ed",
        short + "ing",
        stem + stem[-1] + "ed",
        stem + stem[-1] + "ing",
    }  # stir, stirring


def lookup(words: dict[str, dict[str, str]]) -> dict[str, list[tuple[str, str, str]]]:
    """Word as it may be read -> (group, category, the word to show) for each category that has it."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for group, categories in words.items():
        for category, entries in categories.items():
            for entry in entries.split():
                for form in forms(entry):
                    found.setdefault(form, []).append((group, category, entry.rstrip("*").split("|")[0]))
    return found
