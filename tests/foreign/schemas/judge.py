"""Judges documents by their JSON Schemas, with the package jsonschema.

judge.py SCHEMAS documents FILE...   each line an object with the members schema, document and text
judge.py SCHEMAS strict FILE...      the same, each changed in every way that must not pass
Prints an object: how many documents there were of each schema, and what is wrong.
"""
import copy
import json
import pathlib
import sys

import jsonschema

folder, task, *files = sys.argv[1:]
schemas = {path.stem: json.loads(path.read_text()) for path in pathlib.Path(folder).glob("*.json")}
for schema in schemas.values():
    jsonschema.Draft202012Validator.check_schema(schema)
validators = {name: jsonschema.Draft202012Validator(schema) for name, schema in schemas.items()}


def told(line):
    """What a schema says against a document, in a line."""
    error = jsonschema.exceptions.best_match(validators[line["schema"]].iter_errors(line["document"]))
    return error and f"{line['schema']}: {error.json_path}: {error.message[:300]}"


def resolved(schema, root):
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def places(schema, value, path, root):
    """Each part of a document with the schemas that it may have."""
    schema = resolved(schema, root)
    yield path, schema, value
    for keyword in ("anyOf", "oneOf"):
        for one in schema.get(keyword, []):
            yield from places(one, value, path, root)
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in schema.get("properties", {}):
                yield from places(schema["properties"][name], inner, path + [name], root)
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from places(schema["additionalProperties"], inner, path + [name], root)
    if isinstance(value, list) and "items" in schema:
        for number, inner in enumerate(value[:1]):
            yield from places(schema["items"], inner, path + [number], root)


def changed(document, path, change):
    document = copy.deepcopy(document)
    at = document
    for step in path[:-1]:
        at = at[step]
    change(at, path[-1])
    return document


def put(value):
    def change(at, step):
        at[step] = value
    return change


def take(at, step):
    del at[step]


def refused(line):
    """The changes that break a reader."""
    document, root = line["document"], schemas[line["schema"]]
    for path, schema, value in places(root, document, [], root):
        if isinstance(value, dict):
            for name in schema.get("required", []):
                if name in value:
                    yield f"{path} without {name}", changed(document, path + [name], take)
        if path and ("enum" in schema or "const" in schema) and value in schema.get("enum", [schema.get("const")]):
            yield f"{path} of another set", changed(document, path, put("a-new-value"))
        if path and "type" in schema:
            # No member may be a number at one time and an array at another.
            yield f"{path} of another type", changed(document, path, put([[]]))


def accepted(line):
    """The same document with one more member, everywhere where there are members."""
    document, root = line["document"], schemas[line["schema"]]
    for path, schema, value in places(root, document, [], root):
        if isinstance(value, dict) and "properties" in schema:
            yield f"{path} with another member", changed(document, path + ["a_new_member"], put("x"))


counts, wrong, seen, tried = dict.fromkeys(schemas, 0), [], set(), 0
for file in files:
    for text in pathlib.Path(file).read_text().splitlines():
        if text in seen:
            continue
        seen.add(text)
        line = json.loads(text)
        counts[line["schema"]] += 1
        if line["document"] is None:
            wrong.append(f"{line['schema']}: no JSON: {line['text'][:300]}")
        elif task == "documents":
            wrong += filter(None, [told(line)])
        else:
            for what, document in refused(line):
                tried += 1
                if not told({**line, "document": document}):
                    wrong.append(f"{line['schema']}: passes: {what}")
            for what, document in accepted(line):
                wrong += filter(None, [(why := told({**line, "document": document})) and f"{what}: {why}"])
print(json.dumps({"counts": counts, "tried": tried, "wrong": wrong[:40], "all": len(wrong)}))
