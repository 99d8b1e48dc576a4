"""OSCAL in JSON, YAML and XML gives the same; what strangers could do with it is refused."""

import json
from pathlib import Path

import pytest
import yaml

from evidence import oscal_catalogue, oscal_files
from evidence.oscal_catalogue import read_catalogue
from evidence.oscal_files import NotOscal, read_oscal

FILES = Path(__file__).parent / "three_formats"
FORMATS = ("json", "yaml", "xml")
NS = 'xmlns="http://csrc.nist.gov/ns/oscal/1.0"'
META = "<metadata><title>T</title><version>1</version></metadata>"
CONTROL = '<control id="a-1"><title>Locks</title></control>'
META_YAML = "catalog:\n  metadata: {title: T, version: 1}\n"


def given(name: str) -> bytes:
    return (FILES / name).read_bytes()


def xml(inner: str, *, before: str = "", top: str = NS) -> bytes:
    return f"{before}<catalog {top}>{META}{inner}</catalog>".encode()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("profile", FORMATS)
def test_one_catalogue_is_the_same_from_each_format(kind, profile):
    found = read_catalogue(given(f"catalogue.{kind}"), [given(f"profile.{profile}")])

    assert (found.title, found.version) == ("House *rules* & habits", "1.0")
    said = "Oil the *locks* each {{ insert: param, ac-1_prm_1 }}. Keep [the oil](#oil) dry < damp."
    assert [
        (title, [(one.id, one.key, one.title, one.level) for one in rows])
        for title, rows in found.groups
    ] == [
        ("Controls", [("z-1", "z-1", "Changes are reviewed", 1)]),
        ("Access", [("AC-2", "ac-2", "no", 0)]),
        (
            "Access / Doors",
            [
                ("AC-1", "ac-1", "Doors have `locks`", 1),
                ("AC-1(1)", "ac-1.1", said, 0),
            ],
        ),
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_levels_in_properties_count_in_each_format(kind):
    found = read_catalogue(given(f"catalogue.{kind}"))

    assert {one.id for _, rows in found.groups for one in rows if one.level == 2} == {"AC-1"}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_profile_takes_all_in_each_format(kind):
    whole = {"profile": {"imports": [{"href": "#x", "include-all": {}}]}}
    written = {
        "json": json.dumps(whole).encode(),
        "yaml": b"profile:\n  imports:\n    - href: '#x'\n      include-all: {}\n",
        "xml": f'<profile {NS}><import href="#x"><include-all/></import></profile>'.encode(),
    }

    found = read_catalogue(given("catalogue.json"), [written[kind]])

    assert {one.level for _, rows in found.groups for one in rows} == {1}


NESTED = b"""catalog:
  metadata: {title: T, version: 1}
  groups:
    - title: G
      controls:
        - id: a-1
          title: Doors
          controls:
            - id: a-1.1
              title: Locks
              controls:
                - id: a-1.1.1
                  title: Keys
                - id: a-1.1.2
                  title: Wax
                  props: [{name: status, value: withdrawn}]
            - id: a-1.2
              title: Hinges
        - id: a-2
          title: Windows
          controls:
            - id: a-2.1
              title: Panes
"""


def profile_with(kind: str, *choices: tuple[str, str, str]) -> bytes:
    """One import; each choice is how it chooses, what it says of children (or ""), and an id.

    An id with * is a pattern. Without one that includes, all is included.
    """
    rows, elements = {}, ""
    for how, children, chosen in choices:
        row = {"matching": [{"pattern": chosen}]} if "*" in chosen else {"with-ids": [chosen]}
        named = (
            f'<matching pattern="{chosen}"/>' if "*" in chosen else f"<with-id>{chosen}</with-id>"
        )
        said = f' with-child-controls="{children}"' if children else ""
        if children:
            row["with-child-controls"] = children
        rows.setdefault(how, []).append(row)
        elements += f"<{how}{said}>{named}</{how}>"
    if "include-controls" not in rows:
        rows["include-all"] = {}
        elements = "<include-all/>" + elements
    if kind == "xml":
        return f'<profile {NS}><import href="#x">{elements}</import></profile>'.encode()
    whole = {"profile": {"imports": [{"href": "#x", **rows}]}}
    if kind == "json":
        return json.dumps(whole).encode()
    written = yaml.safe_dump(whole)
    return written.replace("'yes'", "yes").replace("'no'", "no").encode()  # as people write it


ALL = {"a-1", "a-1.1", "a-1.1.1", "a-1.2", "a-2", "a-2.1"}
CHILDREN = [
    ([("include-controls", "yes", "a-1")], {"a-1", "a-1.1", "a-1.1.1", "a-1.2"}),
    ([("include-controls", "no", "a-1")], {"a-1"}),
    ([("include-controls", "", "a-1")], {"a-1"}),
    ([("include-controls", "yes", "a-1.1")], {"a-1.1", "a-1.1.1"}),
    ([("include-controls", "yes", "*2")], {"a-1.2", "a-2", "a-2.1"}),
    (
        [("include-controls", "yes", "a-2"), ("include-controls", "no", "a-1")],
        {"a-1", "a-2", "a-2.1"},
    ),
    ([("exclude-controls", "yes", "a-1")], {"a-2", "a-2.1"}),
    ([("exclude-controls", "no", "a-1")], ALL - {"a-1"}),
    (
        [("include-controls", "yes", "a-1"), ("exclude-controls", "yes", "a-1.1")],
        {"a-1", "a-1.2"},
    ),
    ([("include-controls", "yes", "gone")], set()),
]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("choices", "taken"), CHILDREN)
def test_what_stands_within_a_control_is_chosen_along_where_the_profile_says_so(
    choices, taken, kind
):
    found = read_catalogue(NESTED, [profile_with(kind, *choices)])

    levels = {one.key: one.level for _, rows in found.groups for one in rows}
    assert levels.keys() == ALL
    assert {key for key, level in levels.items() if level == 1} == taken


@pytest.mark.parametrize("kind", FORMATS)
def test_a_profile_that_says_neither_yes_nor_no_of_children_is_refused(kind):
    said = r'low: "with-child-controls" of "include-controls" is .maybe.; expected "yes" or "no"'

    with pytest.raises(NotOscal, match=said):
        read_catalogue(
            NESTED,
            [profile_with(kind, ("include-controls", "maybe", "a-1"))],
            names=["c.yaml", "low"],
        )


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        ([{"include-controls": [{"with-ids": None}]}], "with-ids.*is no list"),
        ([{"include-controls": [{"with-child-controls": True}]}], "is .True.; expected"),
        ([{}] * (oscal_catalogue.MOST_IMPORTS + 1), "it has 101 imports; at most 100"),
        (
            [{"exclude-controls": [{"matching": [{"pattern": "*"}] * 600}]}] * 2,
            "it has 1200 patterns; at most 1000",
        ),
    ],
)
def test_choices_that_make_no_sense_or_no_end_are_refused(imports, said):
    with pytest.raises(NotOscal, match=said):
        read_catalogue(NESTED, [json.dumps({"profile": {"imports": imports}}).encode()])


@pytest.mark.parametrize("name", ["", "catalogue", "a.json", "a.yaml", "a.YML", "a.xml", "a.txt"])
def test_the_content_says_the_format_whatever_the_file_is_called(name):
    expected = read_catalogue(given("catalogue.json"))

    assert read_catalogue(given("catalogue.json"), names=[name]) == expected
    assert read_catalogue(b"\xef\xbb\xbf\n" + given("catalogue.json"), names=[name]) == expected
    assert read_catalogue(given("catalogue.xml"), names=[name]) == expected


def test_the_name_says_the_format_where_the_content_could_be_two():
    flow = b"{catalog: {metadata: {title: T, version: 1.0}, controls: [{id: a, title: Locks}]}}"

    assert read_catalogue(flow, names=["c.yaml"]).version == "1.0"
    with pytest.raises(NotOscal, match="this is no JSON"):
        read_catalogue(flow, names=["c.json"])
    with pytest.raises(NotOscal, match="this is no JSON"):
        read_catalogue(given("catalogue.yaml"), names=["c.json"])
    with pytest.raises(NotOscal, match="this is no XML"):
        read_catalogue(given("catalogue.yaml"), names=["c.xml"])


LAUGHS = "<!DOCTYPE catalog [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]>"
OUTSIDE = "<!DOCTYPE catalog [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>"
ELSEWHERE = "<!DOCTYPE catalog SYSTEM 'http://127.0.0.1:9/catalog.dtd'>"
INCLUDED = (
    '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"'
    ' parse="text"/>'
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (xml(f"{CONTROL}&b;", before=LAUGHS), "document type .* take it out"),
        (xml(CONTROL, before=OUTSIDE), "document type .* take it out"),
        (xml(CONTROL, before=ELSEWHERE), "document type .* take it out"),
        (xml(f"{CONTROL}&undefined;"), "this is no XML: Entity 'undefined' not defined"),
        (xml(f"<group id='g'>{INCLUDED}</group>"), "<group> g has <include> of XInclude"),
        (xml("<part>" * 101 + "</part>" * 101), "nested deeper than 100"),
        (xml("<part>" * 5000 + "</part>" * 5000), "nested deeper than 100"),
        (xml(CONTROL, top='xmlns="urn:x"'), "the file has <catalog> in the namespace urn:x; exp"),
        (xml(CONTROL, top=""), "the file has <catalog> in no namespace; expected http://csrc"),
        (
            xml(f"<group id='g'><title>G</title><p:control xmlns:p='urn:x'/>{CONTROL}</group>"),
            "<group> g has <control> in the namespace urn:x; expected http://csrc",
        ),
        (xml(f"{META}{CONTROL}"), "<catalog> has <metadata> twice; expected it once"),
        (xml("<control id='a-1'><title>A</title><title>B</title></control>"), "<control> a-1 has"),
        (xml(CONTROL * 2), "the control a-1 twice; expected it once"),
        (xml('<control id="a" id="b"/>'), "this is no XML: Attribute id redefined"),
        (xml('<control id="a-1"/>'), "title of the control a-1 is missing; expected a text"),
        (xml("<control><title>Locks</title></control>"), "id of a control is missing"),
        (xml("<group><control id='a-1'/></group>"), "title of a group is missing"),
        (xml(""), "lists no control; expected"),
        (f"<catalog {NS}/>".encode(), "no metadata; expected its title"),
        (f"<profile {NS}/>".encode(), "no OSCAL catalog in XML: .*; there is <profile>; choose"),
        (xml(CONTROL)[:-1], "this is no XML"),
        (xml(CONTROL, before='<?xml version="1.0" encoding="UTF-7"?>'), "'UTF-7'; save .* UTF-8"),
        (
            xml(CONTROL, before='<?xml version="1.0" encoding="ISO-8859-1"?>'),
            "'ISO-8859-1'; save the file as UTF-8",
        ),
        (xml(CONTROL).decode().encode("utf-16"), "no UTF-8: byte 1 does not fit; save"),
        (xml(CONTROL).decode().encode("utf-16-le"), "NUL character.*; save"),
        (xml(CONTROL).replace(b"Locks", b"L\xe9cks"), "no UTF-8: byte"),
        (b" \n", "empty; choose"),
    ],
)
def test_hostile_and_broken_xml_is_refused_each_with_its_own_sentence(content, said):
    with pytest.raises(NotOscal, match=said):
        read_catalogue(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (META_YAML + "  x: &a [ha]\n  y: [*a, *a]\n", r"line 4 refers .* alias \*a; expected"),
        (META_YAML + "  <<: *a\n", r"line 3 refers to an anchor by the alias \*a"),
        (META_YAML + "  x: !!python/object/apply:os.system [ls]\n", "line 3 has the tag .*python"),
        (META_YAML + "  x: !include /etc/hostname\n", "line 3 has the tag !include.* expected"),
        (META_YAML + "  x: !!int 3\n", "line 3 has the tag tag:yaml.org,2002:int"),
        (META_YAML + "  x: " + "[" * 101 + "]" * 101, "nested deeper than 100"),
        (META_YAML + "  x: " + "[" * 100_000, "nested deeper than 100"),
        (META_YAML + "---\n" + META_YAML, "several YAML documents; expected one"),
        (META_YAML + "  metadata: {}\n", 'mapping before line 3 has the key "metadata" twice'),
        (META_YAML + "  ? [a]\n  : b\n", "line 3 has a key that is no text; expected a name"),
        (META_YAML + "  controls:\n    - {id: a, title: ~}\n", "title of the control a is missing"),
        (META_YAML + "  controls: {id: a}\n", '"controls" is no list of objects; expected'),
        (META_YAML + "  controls: [{id: a, title: x}, {id: a, title: y}]\n", "control a twice"),
        (META_YAML + "\tx: [", "this is no YAML"),
        ("catalog: 3\n", 'no OSCAL catalog in YAML: expected an object "catalog" at the top'),
        ("profile: {}\n", "no OSCAL catalog in YAML"),
        ("no", "no OSCAL catalog in YAML"),
    ],
)
def test_hostile_and_broken_yaml_is_refused_each_with_its_own_sentence(content, said):
    with pytest.raises(NotOscal, match=said):
        read_catalogue(content.encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 101 + b"]" * 101, "nested deeper than 100"),
        (b"[" * 200_000, "nested deeper than 100"),
        (b'{"catalog": {}, "catalog": {}}', 'an object has the key "catalog" twice'),
        (b'{"catalog": {"metadata": {"title": "T\xff"}}}', "no UTF-8: byte 38"),
    ],
)
def test_hostile_json_is_refused_each_with_its_own_sentence(content, said):
    with pytest.raises(NotOscal, match=said):
        read_catalogue(content)


def test_ids_that_stand_twice_are_refused_although_their_labels_differ():
    twice = "".join(
        f'<control id="a-1"><title>Locks</title><prop name="label" value="{label}"/></control>'
        for label in ("A-1", "A-2")
    )

    with pytest.raises(NotOscal, match="the id a-1 twice; expected it once"):
        read_catalogue(xml(twice))


@pytest.mark.parametrize("kind", FORMATS)
def test_more_parts_than_a_catalogue_has_are_refused(monkeypatch, kind):
    monkeypatch.setattr(oscal_files, "MOST", 30)

    with pytest.raises(NotOscal, match="more than 30 parts; expected one catalogue"):
        read_oscal(given(f"catalogue.{kind}"), "catalog")


def test_what_is_wrong_with_a_profile_is_said_of_the_profile():
    with pytest.raises(NotOscal, match=r"the profile low\.xml: this is no XML"):
        read_catalogue(given("catalogue.xml"), [b"<"], names=["c.xml", "low.xml"])
    with pytest.raises(NotOscal, match="the profile 1: this is no OSCAL profile in XML"):
        read_catalogue(given("catalogue.xml"), [given("catalogue.xml")])


def test_a_document_type_is_refused_before_an_entity_is_declared(tmp_path):
    """Even in an attribute, where the parser would expand it whatever it is told."""
    secret = tmp_path / "secret"
    secret.write_text("a-9")
    content = xml(
        '<control id="&a;"><title>Locks</title></control>',
        before=f"<!DOCTYPE catalog [<!ENTITY a 'a-9'><!ENTITY b SYSTEM '{secret.as_uri()}'>]>",
    )

    with pytest.raises(NotOscal, match="document type") as refused:
        read_catalogue(content)

    assert "a-9" not in str(refused.value)
