"""The JSON Schemas of outputs, docs/reference/schemas, and the faults of an output by them."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[2] / "docs/reference/schemas"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}


def faults(name, output):
    """The objections to an output, by the path of the value; fields that the schema does not describe are some."""
    errors = Draft202012Validator(strict(SCHEMAS[name])).iter_errors(json.loads(output))
    return [f"{error.json_path}: {error.message:.200}" for error in errors]


def strict(schema):
    """The schema without room for fields that it does not describe."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    return {"additionalProperties": False} | made if "properties" in schema else made
