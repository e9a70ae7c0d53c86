"""Settings of readers of records, as their YAML files have them."""

FIELDS = {
    "text": "{text}",
    "prompt": None,
    "messages": None,
    "rejected": None,
    "winner": None,
    "null_as_empty": False,
    "numbers_as_text": False,
}
FILES = {"split": None, "name": "mine", "max_documents": None}
SETTINGS = FILES | FIELDS
