"""What a change of the stack would touch is found where it is, and nowhere else."""

from sample_repositories import SAMPLES

from agent.recommender.impact import impact, impact_note
from agent.recommender.linters import check_files


def _found(files, winners, catalogue):
    scored = {"layers": [{"layer": layer, "winner": winner} for layer, winner in winners.items()]}
    rows = impact(files, scored, catalogue)
    named = {
        (row["leaves"], kind.removesuffix("s"), name)
        for row in rows
        for kind in ("files", "jobs", "secrets")
        for name in row[kind]
    }
    return rows, named


def test_nine_of_ten_touched_things_are_found_and_nine_of_ten_found_ones_are_touched(catalogue):
    right = wrong = missed = 0
    detail = []
    for files, winners, wanted in SAMPLES.values():
        _, named = _found(files, winners, catalogue)
        right += len(named & wanted)
        wrong += len(named - wanted)
        missed += len(wanted - named)
        detail.append((sorted(named - wanted), sorted(wanted - named)))

    precision, recall = right / (right + wrong), right / (right + missed)
    assert precision >= 0.9, detail
    assert recall >= 0.9, detail


def test_a_choice_that_runs_already_touches_nothing(catalogue):
    files, _, _ = SAMPLES["board"]

    rows, _ = _found(files, {"frontend": "vue"}, catalogue)

    assert rows == []


def test_the_note_lists_each_change_and_passes_its_checks(catalogue):
    files, winners, _ = SAMPLES["shop"]
    rows, _ = _found(files, winners, catalogue)

    note = impact_note(rows, "shop", catalogue)

    assert "From Redis to Valkey" in note.decode()
    assert "`REDIS_URL`" in note.decode()
    assert [c for c in check_files({"docs/stack/impact.md": note}, catalogue) if not c.ok] == []


def test_no_value_of_a_secret_is_ever_carried_over(catalogue):
    files = {
        "compose.yaml": b"services:\n  q:\n    image: redis:8\n    environment:\n"
        b"      REDIS_PASSWORD: hunter2\n",
    }

    rows, _ = _found(files, {"cache-queue": "valkey"}, catalogue)

    assert rows
    assert "hunter2" not in str(rows)
