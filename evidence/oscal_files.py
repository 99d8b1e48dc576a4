"""Reads OSCAL files of strangers, in JSON, YAML or XML, into the shape that they have in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml
from lxml import etree

NAMESPACE = "http://csrc.nist.gov/ns/oscal/1.0"
XINCLUDE = "http://www.w3.org/2001/XInclude"
# Elements of XML, events of YAML, objects and lists of JSON; the HIGH baseline of SP 800-53, with
# 370 controls, has 177,036 of YAML, and fewer of the others.
MOST = 1_000_000
DEEPEST = 100  # objects and lists, or elements, within each other; NIST's own files have about 20
_CORE = "tag:yaml.org,2002:"
_ENCODING = re.compile(r"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']""")
_EMPTY = frozenset({"", "~", "null", "Null", "NULL"})

# What JSON has as lists, XML as elements that are repeated.
_MANY = {
    "group": "groups",
    "control": "controls",
    "prop": "props",
    "part": "parts",
    "import": "imports",
    "include-controls": "include-controls",
    "exclude-controls": "exclude-controls",
    "matching": "matching",
    "with-id": "with-ids",
}
_ONE = frozenset({"metadata", "title", "version", "include-all"})
_ATTRIBUTES = frozenset({"id", "name", "class", "value", "pattern", "with-child-controls"})
_LINES = frozenset({"title", "version", "with-id"})
_AROUND = {"em": "*", "i": "*", "strong": "**", "b": "**", "code": "`", "q": '"'}
_AROUND |= {"sub": "~", "sup": "^", "a": "", "img": ""}
_BLOCKS = frozenset({"p", "ul", "ol", "li", "pre", "blockquote", "table", "tr", "td", "th"})
_BLOCKS |= {"h1", "h2", "h3", "h4", "h5", "h6"}


class NotOscal(ValueError):
    """A file is no OSCAL catalogue or profile that can be read; the message says why."""


def read_oscal(content: bytes, model: str, name: str = "") -> dict[str, Any]:
    """The object `model`, such as "catalog", at the top of the file, shaped as in JSON.

    name: what the file is called. The content says which format it is; the name decides where
    that could be two. Of XML only what a catalogue's ids, titles, levels and statements, and a
    profile's choices, are read from is kept. Nothing outside of the file is read. Raises NotOscal.
    """
    text = _decoded(content)
    kind = _format(text, name)
    whole = {"XML": _from_xml, "JSON": _from_json, "YAML": _from_yaml}[kind](text)
    part = whole.get(model) if isinstance(whole, dict) else None
    if not isinstance(part, dict):
        top = f"an element <{model}>" if kind == "XML" else f'an object "{model}"'
        found = f"; there is <{next(iter(whole))}>" if kind == "XML" else ""
        raise NotOscal(
            f"this is no OSCAL {model} in {kind}: expected {top} at the top{found};"
            f" choose the file of a {model}"
        )
    return part


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise NotOscal(
            f"this is no UTF-8: byte {fault.start + 1} does not fit; save the file as UTF-8"
        ) from fault
    if not text.strip():
        raise NotOscal("it is empty; choose the file that was published")
    if "\0" in text:
        raise NotOscal("there is a NUL character, as in UTF-16 files; save the file as UTF-8 text")
    return text


def _format(text: str, name: str) -> str:
    """XML, JSON or YAML. All JSON is YAML, so a name that says YAML is believed there."""
    called = name.rpartition(".")[2].lower() if "." in name else ""
    begins = text.lstrip()[:1]
    if begins == "<":
        return "XML"
    if called in ("yaml", "yml"):
        return "YAML"
    if begins in ("{", "[") or called == "json":
        return "JSON"
    return "XML" if called == "xml" else "YAML"


def _from_json(text: str) -> Any:
    if text.count("{") + text.count("[") > MOST:
        raise _too_many()
    try:
        whole = json.loads(text, object_pairs_hook=_object)
    except RecursionError as fault:
        raise _too_deep() from fault
    except json.JSONDecodeError as fault:
        raise NotOscal(f"this is no JSON: {fault}; expected JSON, YAML or XML") from fault
    level = [whole]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return whole
    raise _too_deep()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        _check_new(key, found, "an object")
        found[key] = value
    return found


def _from_yaml(text: str) -> Any:
    """Lists, mappings and texts. Texts stay what they are: a version 1.0 is no number.

    It is built from what the parser reads and by no constructor, so no tag can ask for anything.
    """
    built = _Built()
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            built.take(event)
    except yaml.YAMLError as fault:
        said = " ".join(str(fault).split())
        raise NotOscal(f"this is no YAML: {said}; expected JSON, YAML or XML") from fault
    return built.whole


class _Built:
    """The one document of a YAML file, from its parser's events."""

    def __init__(self) -> None:
        self.whole: Any = None
        self._documents = self._taken = 0
        self._open: list[tuple[Any, list[str]]] = []  # with the key whose value comes next

    def take(self, event: yaml.Event) -> None:
        self._taken += 1
        if self._taken > MOST:
            raise _too_many()
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise NotOscal("there are several YAML documents; expected one, without ---")
        elif isinstance(event, yaml.AliasEvent):
            raise NotOscal(
                f"line {_line(event)} refers to an anchor by the alias *{event.anchor}; expected"
                " the text itself; write the file anew without aliases"
            )
        elif isinstance(event, yaml.ScalarEvent):
            self._check_tag(event)
            self._add(None if event.implicit[0] and event.value in _EMPTY else event.value, event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._check_tag(event)
            inner: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._add(inner, event)
            self._open.append((inner, []))
            if len(self._open) > DEEPEST:
                raise _too_deep()
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()

    def _add(self, value: Any, event: yaml.Event) -> None:
        if not self._open:
            self.whole = value
            return
        around, key = self._open[-1]
        if isinstance(around, list):
            around.append(value)
        elif key:
            around[key.pop()] = value
        elif isinstance(value, str):
            _check_new(value, around, f"the mapping before line {_line(event)}")
            key.append(value)
        else:
            raise NotOscal(f"line {_line(event)} has a key that is no text; expected a name")

    def _check_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag and tag not in ("!", _CORE + "str", _CORE + "map", _CORE + "seq"):
            raise NotOscal(
                f"line {_line(event)} has the tag {tag[:80]}, which asks for more than text;"
                " expected none; write the file anew without tags"
            )


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _from_xml(text: str) -> dict[str, Any]:
    """The root element by its name."""
    declared = _ENCODING.match(text)
    if declared and declared[1].lower() not in ("utf-8", "us-ascii"):
        raise NotOscal(
            f"the XML says that its encoding is {declared[1][:40]!r}; save the file as UTF-8"
        )
    # Nothing is fetched and nothing expanded. With a target a document type ends the reading
    # where it begins, before it has declared any entity, and so does what is nested too deeply.
    parser = etree.XMLParser(
        target=_Elements(),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        encoding="utf-8",
    )
    try:
        root: _Element = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as fault:
        raise NotOscal(f"this is no XML: {fault}; expected JSON, YAML or XML") from fault
    return {root.name: root.fields}


class _Element:
    """One element: what JSON has of it, and its text with Markdown for its markup, as in JSON."""

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.fields: dict[str, Any] = {
            key: value for key, value in attributes.items() if key in _ATTRIBUTES
        }
        self.texts: list[str] = []

    def take(self, child: _Element, where: str) -> None:
        """Keep what of a child that is read to its end is of use."""
        if child.name == "part":
            child.fields["prose"] = "".join(child.texts)
        value = "".join(child.texts) if child.name in _LINES else child.fields
        if child.name in _MANY:
            self.fields.setdefault(_MANY[child.name], []).append(value)
        elif child.name in _ONE:
            if child.name in self.fields:
                raise NotOscal(f"{where} has <{child.name}> twice; expected it once")
            self.fields[child.name] = value
        elif child.name == "insert":
            of = child.attributes
            self.texts.append(f"{{{{ insert: {of.get('type', '')}, {of.get('id-ref', '')} }}}}")
        elif child.name in _BLOCKS:
            self.texts += [" ", *(["- "] if child.name == "li" else []), *child.texts, " "]
        elif child.name in _AROUND:
            around = _AROUND[child.name]
            said = "".join(child.texts)
            if child.name == "a":
                said = f"[{said}]({child.attributes.get('href', '')})"
            self.texts.append(f"{around}{said}{around}")


class _Elements:
    """What the XML parser calls with each element that it reads."""

    def __init__(self) -> None:
        self._open: list[_Element] = []
        self._taken = 0
        self._root: _Element | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        namespace, _, name = tag.rpartition("}")
        namespace = namespace.removeprefix("{")
        if namespace == XINCLUDE:
            raise NotOscal(
                f"{self._where()} has <{name}> of XInclude, which refers to another file; nothing"
                " outside of this file is read; put what it refers to in its place"
            )
        if namespace != NAMESPACE:
            said = f"in the namespace {namespace[:80]}" if namespace else "in no namespace"
            raise NotOscal(
                f"{self._where()} has <{name[:40]}> {said}; expected {NAMESPACE}, that of OSCAL 1"
            )
        self._taken += 1
        if self._taken > MOST:
            raise _too_many()
        self._open.append(_Element(name, dict(attributes)))
        if len(self._open) > DEEPEST:
            raise _too_deep()

    def data(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def end(self, tag: str) -> None:
        done = self._open.pop()
        if self._open:
            self._open[-1].take(done, self._where())
        else:
            self._root = done

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise NotOscal(
            "there is a document type (<!DOCTYPE>), which can define entities and refer to other"
            " files; OSCAL has no use for it; take it out"
        )

    def close(self) -> _Element | None:
        return self._root

    def _where(self) -> str:
        """The element that is read, and its id or that of the nearest one around."""
        if not self._open:
            return "the file"
        named = next((one for one in reversed(self._open) if "id" in one.fields), None)
        here = f"<{self._open[-1].name}>"
        if named is None:
            return here
        at = f"{named.fields['id'][:40]}"
        return f"{here} {at}" if named is self._open[-1] else f"{here} in {at}"


def _check_new(key: str, found: Mapping[str, Any], what: str) -> None:
    if key in found:
        raise NotOscal(f'{what} has the key "{key[:40]}" twice; readers differ on which one counts')


def _too_many() -> NotOscal:
    return NotOscal(f"it has more than {MOST:,} parts; expected one catalogue; split it")


def _too_deep() -> NotOscal:
    return NotOscal(f"it is nested deeper than {DEEPEST} levels; expected groups of controls")
