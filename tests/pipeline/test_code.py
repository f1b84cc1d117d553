"""Which source a result rests on: the user's own, wherever it is found, and nothing installed."""

from edgekd.pipeline.code import closure


def test_what_the_user_wrote_counts_and_what_is_installed_anywhere_does_not(tmp_path, monkeypatch):
    own, seen = tmp_path / "own", tmp_path / "lib" / "dist-packages"
    for folder, name in ((own, "helper_of_mine"), (seen, "somebody_elses")):
        folder.mkdir(parents=True)
        (folder / f"{name}.py").write_text("import json\n")
        monkeypatch.syspath_prepend(str(folder))
    plugin = tmp_path / "mine.py"
    plugin.write_text("import helper_of_mine, somebody_elses, json, torch\n")
    assert {path.name for path in closure([plugin])} == {"mine.py", "helper_of_mine.py"}
