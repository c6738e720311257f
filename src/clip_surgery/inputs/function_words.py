"""Function words: English words that hold a sentence together and name nothing in an image.

Their scores are often high, because they stand in nearly every caption, and their maps do not show
anything that the words mean. The words of common prompt templates ("a photo of a dog") belong to
them too.
"""

from __future__ import annotations

_WORDS = """
a an the this that these those some any each every all both no other another such
of in on at by to from with without for into onto over under above below between among near beside
behind before after against along around across through during toward towards off out up down about
as like than
and or but nor so if while when where which who whom whose what because though although
i me my you your he him his she her hers it its we us our they them their there here one
is are was were be been being am do does did has have had can could will would may might must shall
should not very also just too
photo photos photograph picture pictures image images itap showing
"""  # determiners, prepositions, conjunctions, pronouns, auxiliary verbs, words of prompt templates

FUNCTION_WORDS = frozenset(_WORDS.split())


def is_function_word(word: str) -> bool:
    """Whether a word names nothing that an image could show, such as "of" or a comma.

    Example:
        >>> [word for word in ("a", "photo", "of", "a", "dog", ".") if not is_function_word(word)]
        ['dog']
    """
    return word.casefold() in FUNCTION_WORDS or not any(letter.isalnum() for letter in word)
