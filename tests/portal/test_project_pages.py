"""New projects and repositories, by page and by API."""

import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from agent import archives, repositories
from agent.models import Repository
from agent.places import forge_address, local_forge
from authz.errors import BadRequest, Conflict
from authz.models import Grant
from tenants.actor import system_actor
from tenants.models import Project, User
from tenants.scope import tenant_scope

BY = system_actor("test", "cli")


def zipped(*files, **how):
    """An archive of (name or ZipInfo, content)."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return written.getvalue()


def upload(content):
    return SimpleUploadedFile("shop.zip", content, "application/zip")


def page_of(company):
    return f"/people/projects/{company.project.pk}/"


# Projects ---------------------------------------------------------------------------------------


def test_an_admin_creates_a_project_with_its_agent(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")
    assert "/people/projects/new/" in tomas.get("/people/projects/").content.decode()

    answer = tomas.post(
        "/people/projects/new/", {"name": "Online shop", "slug": "online-shop"}, follow=True
    )

    assert "Online shop" in answer.content.decode()
    assert "Add a repository" in answer.content.decode()
    assert entries(acme)[-1] == ("project.create", "ok")
    with tenant_scope(acme.scope):
        project = Project.objects.get(slug="online-shop")
        agent = User.objects.get(email="agent@online-shop.invalid")
        assert (agent.kind, agent.has_usable_password()) == (User.Kind.AGENT, False)
        assert Grant.objects.get(user=agent).project == project


@pytest.mark.parametrize(
    ("slug", "name", "told"),
    [
        ("Online", "Online", "expected small letters"),
        ("-a", "A", "expected small letters"),
        ("a" * 61, "A", "expected small letters"),
        ("shop", "", "expected one line of 1 to 200 characters"),
        ("shop", "a\nb", "expected one line of 1 to 200 characters"),
        ("platform", "Platform", "There is a project with the short name platform already"),
    ],
)
def test_a_project_that_cannot_be_is_told_why(acme, sign_in, slug, name, told):
    tomas = sign_in(acme, "tomas")

    page = tomas.post("/people/projects/new/", {"name": name, "slug": slug})
    answer = tomas.post("/api/v1/projects", {"name": name, "slug": slug}, "application/json")

    assert page.status_code == 422
    assert told in page.content.decode()
    assert answer.status_code in (409, 422)
    assert told in answer.content.decode()
    with tenant_scope(acme.scope):
        assert Project.objects.count() == 1


def test_a_developer_creates_no_project(acme, sign_in, entries):
    bo = sign_in(acme, "bo")

    assert "/people/projects/new/" not in bo.get("/people/projects/").content.decode()
    assert bo.get("/people/projects/new/").status_code == 403
    assert bo.post("/people/projects/new/", {"name": "X", "slug": "x"}).status_code == 403
    assert entries(acme)[-1] == ("project.create.denied", "denied")


def test_a_project_over_the_api(acme, sign_in):
    answer = sign_in(acme, "tomas").post(
        "/api/v1/projects", {"slug": "annex", "name": "Annex"}, "application/json"
    )

    assert answer.status_code == 201
    assert answer.json()["classification"] == "internal"
    with tenant_scope(acme.scope):
        assert str(Project.objects.get(slug="annex").pk) == answer.json()["id"]


# Repositories -----------------------------------------------------------------------------------


def test_an_admin_adds_a_repository_with_files(acme, sign_in, entries, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    tomas = sign_in(acme, "tomas")
    content = zipped(("shop-main/a.py", b"A = 1\n"), ("shop-main/docs/x.md", b"# X\n"))

    answer = tomas.post(
        page_of(acme) + "repositories/new/", {"name": "shop", "file": upload(content)}, follow=True
    )

    assert "shop is there; its files are being read" in answer.content.decode()
    assert entries(acme)[-2:] == [("repository.register", "ok")] * 2  # the intent and its result
    with tenant_scope(acme.scope):
        repository = Repository.objects.get(name="shop")
        assert repository.project == acme.project
        forge, address = local_forge(), forge_address(repository)
        assert forge.list_files(address, "main") == ["a.py", "docs/x.md"]
        assert forge.read(address, "main", "a.py") == b"A = 1\n"


def test_without_files_it_begins_with_a_readme(acme, sign_in, settings, tmp_path):
    settings.DATA_DIR = tmp_path

    answer = sign_in(acme, "tomas").post(
        "/api/v1/repositories", {"project": acme.project.pk, "name": "shop"}
    )

    assert answer.status_code == 201
    with tenant_scope(acme.scope):
        repository = Repository.objects.get(pk=answer.json()["id"])
        assert local_forge().read(forge_address(repository), "main", "README.md") == b"# shop\n"


@pytest.mark.parametrize("name", ["", "a b", "../up", "x.git", "a" * 101, ".hidden", "-"])
def test_a_name_that_is_none_is_told(acme, sign_in, name, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    tomas = sign_in(acme, "tomas")

    page = tomas.post(page_of(acme) + "repositories/new/", {"name": name})

    assert page.status_code == 422
    assert "expected letters, digits" in page.content.decode()
    with tenant_scope(acme.scope):
        assert not Repository.objects.exists()


def test_a_name_that_is_taken_is_told(acme, sign_in, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    tomas, address = sign_in(acme, "tomas"), page_of(acme) + "repositories/new/"
    tomas.post(address, {"name": "shop"})

    again = tomas.post(address, {"name": "shop"})

    assert again.status_code == 422
    assert "There is a repository called shop already" in again.content.decode()


def test_a_name_that_the_forge_holds_with_other_files_is_told(acme, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    with tenant_scope(acme.scope):
        gone = Repository(project=acme.project, name="shop")
        now = timezone.now()
        repositories.register("shop", project=acme.project, files={}, written=now, by=BY)
        Repository.objects.get(name="shop").delete()

        with pytest.raises(Conflict, match="could not be made"):
            repositories.register(
                gone.name, project=acme.project, files={"a": b"b"}, written=now, by=BY
            )


def test_who_may_not_add_one_is_refused(acme, globex, sign_in, entries, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    bo, eve = sign_in(acme, "bo"), sign_in(globex, "eve")
    address, wanted = page_of(acme) + "repositories/new/", {"name": "shop"}
    by_api = {"name": "shop", "project": acme.project.pk}

    assert "Add a repository" not in bo.get(page_of(acme)).content.decode()
    assert bo.get(address).status_code == 403
    assert bo.post(address, wanted).status_code == 403
    assert bo.post("/api/v1/repositories", by_api).status_code == 403
    assert entries(acme)[-1] == ("repository.register.denied", "denied")
    assert eve.post(address, wanted).status_code == 404
    assert eve.post("/api/v1/repositories", by_api).status_code == 404
    with tenant_scope(acme.scope):
        assert not Repository.objects.exists()


# Archives ---------------------------------------------------------------------------------------


def test_one_folder_around_everything_and_the_history_are_left_out():
    assert archives.files_of(
        zipped(("x/", b""), ("x/a", b"1"), ("x/b/c", b"2"), ("x/.git/config", b"3"))
    ) == {"a": b"1", "b/c": b"2"}
    assert archives.files_of(zipped(("x/a", b"1"), ("b", b"2"))) == {"x/a": b"1", "b": b"2"}


def _link():
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o120777 << 16
    return entry


def _damaged():
    return zipped((zipfile.ZipInfo("a"), b"hello")).replace(b"hello", b"hallo")


def _encrypted():
    content = bytearray(zipped(("a", b"1")))
    for header, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + at] |= 1
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: b"no archive", "must be a ZIP archive"),
        (lambda: zipped(("a", b"1" * 99))[:-40], "must be a ZIP archive"),
        (_damaged, "Bad CRC-32"),
        (lambda: zipped(), "holds no file"),
        (lambda: zipped(("x/.git/config", b"1")), "holds no file"),
        (lambda: zipped(("../a", b"1"), ("b", b"1")), "not a plain path"),
        (lambda: zipped(("/a", b"1"), ("b", b"1")), "not a relative path"),
        (lambda: zipped(("a/.GIT/config", b"1"), ("b", b"1")), "git keeps for itself"),
        (lambda: zipped((_link(), b"/etc/passwd")), "holds a symbolic link"),
        (lambda: zipped(("a", b"1"), ("a", b"2")), "twice"),
        (_encrypted, "must not be encrypted"),
        (lambda: zipped(("a", bytes((5 << 20) + 1))), "more than 5 MiB"),
        (lambda: zipped(*((f"{n}", bytes(5 << 20)) for n in range(6))), "more than 25 MiB"),
        (lambda: zipped(*((f"{n}", b"") for n in range(2001))), "2,001 files"),
        (lambda: bytes(archives.LARGEST + 1), "at most 20 MiB"),
    ],
)
def test_an_archive_that_cannot_be_taken_is_told_why(made, told):
    with pytest.raises(BadRequest) as refusal:
        archives.files_of(made())

    assert told in refusal.value.errors["file"]


def test_a_refused_archive_is_told_on_the_page_and_keeps_what_was_typed(acme, sign_in):
    page = sign_in(acme, "tomas").post(
        page_of(acme) + "repositories/new/", {"name": "shop", "file": upload(b"no archive")}
    )

    assert page.status_code == 422
    assert "The file must be a ZIP archive" in page.content.decode()
    assert 'value="shop"' in page.content.decode()
    with tenant_scope(acme.scope):
        assert not Repository.objects.exists()
