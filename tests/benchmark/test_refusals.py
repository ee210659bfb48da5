import pytest

from safer_clip.benchmark.refusals import find_refusals, load_words, mentions_minor, names_person
from safer_clip.errors import ConfigError

MINORS = """a little girl with an umbrella
two Children playing in the sand
a man holding a baby
a kid's bicycle in the street
a 12-year-old riding a pony
a six year old blowing out candles
an 8 month old in a high chair
a teenager on a skateboard
High school students in a gym
a woman and her daughter
a boy scout camp
people at a little league game
ein kleines Mädchen im Park
deux enfants sur la plage
unos niños juegan al fútbol
due bambini al mare
a schoolboy with a satchel
an infant's crib
a toddlers' slide""".splitlines()

NO_MINORS = """a man with a beard on a bench
a cowboy on a horse
a baby elephant beside its mother
a baby grand piano on stage
a baby bottle on the table
a plant nursery in spring
a 45-year-old oak door
a girlfriend and a boyfriend holding hands
a kidney-shaped pool
a minor scratch on a car
an 18 year old whisky
a person at the age of 60
a babyish font
a goat kidding around""".splitlines()

PERSONS = """Barack Obama speaks at a lectern
a statue of Abraham Lincoln in the park
Angela Merkel with a red jacket
a mural of Frida Kahlo on a wall
President Lincoln in a black coat
Dr. Smith in a white coat
a crowd listens to Mr Brown-Jones
a wax figure of Marilyn Monroe
Queen Elizabeth II waves from a carriage
Putin on a horse
a photo of J. K. Rowling signing books
Surfer Kelly Slater rides a wave
a man in a Lionel Messi shirt
a poster shows Zinedine Zidane
people in front of George Washington
the singer Beyoncé on stage
Obama's dog on the lawn
a banner with the face of Emmanuel Macron
Ein Mann neben Angela Merkel""".splitlines()

NO_PERSONS = """a man in a red jacket
New York at night
Golden Gate Bridge in the fog
Times Square full of people
San Francisco seen from the bay
Los Angeles traffic at dusk
Paris in the rain
a street in Buenos Aires
boats near Abu Dhabi
Mount Fuji behind a lake
Big Ben and a red bus
a Boston Terrier on a sofa
a German Shepherd beside a fence
a Granny Smith apple
a can of Dr Pepper on a desk
a Jack Russell terrier catching a ball
Victoria Falls from above
Virginia Beach in summer
a British Airways plane on the runway
a Harley Davidson outside a bar
a Christmas Tree in a lobby
people at Trafalgar Square
Rose Garden in bloom
Tourists on the Brooklyn Bridge
USA flag on a pole
a coach bus in a parking lot
a king size bed
A Dog Playing In The Snow
Two Dogs And A Cat On A Bed
Downtown Seattle at night
Notre Dame behind trees
a Manchester United scarf
a train at Grand Central Station
Hong Kong skyline""".splitlines()


@pytest.mark.parametrize("caption", MINORS)
def test_minors_are_found(caption):
    assert mentions_minor(caption, load_words())


@pytest.mark.parametrize("caption", NO_MINORS)
def test_what_only_sounds_like_a_minor_is_kept(caption):
    assert not mentions_minor(caption, load_words())


@pytest.mark.parametrize("caption", PERSONS)
def test_names_are_found(caption):
    assert names_person(caption, load_words())


@pytest.mark.parametrize("caption", NO_PERSONS)
def test_places_makes_and_breeds_are_no_persons(caption):
    assert not names_person(caption, load_words())


def test_german_nouns_are_no_names():
    captions = ("Ein Hund und eine Katze auf dem Roten Sofa Bett", "Zwei Frauen mit Großer Hund Leine")
    assert not any(names_person(caption, load_words(), "de") for caption in captions)
    assert names_person("Ein Mann neben Angela Merkel", load_words(), "de")


def test_both_reasons_are_told():
    assert find_refusals("Angela Merkel and a child", load_words()) == ("mentions a minor", "names a person")
    assert find_refusals("a dog in the park", load_words()) == ()


def test_lists_of_one_s_own_win(tmp_path):
    (tmp_path / "persons.txt").write_text("# ours\nBrunhilde\n")
    words = load_words(tmp_path)
    assert names_person("Brunhilde on a rock", words)
    assert not names_person("Putin on a horse", words)
    assert mentions_minor("a child", words)  # the package's list still holds
    (tmp_path / "people.txt").write_text("x")
    with pytest.raises(ConfigError, match="it holds people"):
        load_words(tmp_path / ".")
    with pytest.raises(ConfigError, match="holds no list"):
        load_words(tmp_path / "absent")
