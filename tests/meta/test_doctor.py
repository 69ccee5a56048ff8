"""`dojo doctor`: what is wrong is named with the command that fixes it, also before anything is installed."""

import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
import time

import pytest

from dojo.system import doctor, vocabulary
from dojo.system.doctor import NOTE, OK, WRONG
from dojo.system.vocabulary import File


def states(found):
    return {finding.name: finding.state for finding in found}


@pytest.fixture
def bare(toys):
    """Python with nothing but its standard library, in a copy of the repository."""

    def run(*argv, **more):
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", BARE.format(root=str(toys.root), argv=argv)],
            cwd=toys.root,
            env=toys.environment(**more),
            capture_output=True,
            encoding="utf-8",
        )

    return run


BARE = """
import runpy, sys
sys.path.insert(0, {root!r})
sys.argv = ["dojo", *{argv!r}]
runpy.run_module("dojo", run_name="__main__")
"""


def test_doctor_works_before_anything_is_installed(bare):
    ended = bare("doctor")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "✓ python " in ended.stdout
    assert "✗ packages " in ended.stdout
    assert "torch (missing)" in " ".join(ended.stdout.split())
    assert "fix: python -m pip install -c constraints.txt -e ." in ended.stdout
    data = json.loads(bare("doctor", "--json").stdout)
    assert data["ok"] is False
    assert {"name", "state", "seen", "fix", "about"} == set(data["findings"][0])


def test_another_command_names_the_missing_package_instead(bare):
    ended = bare()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("dojo needs the package 'click'")


def test_every_finding_that_is_wrong_can_be_mended(bare):
    for finding in json.loads(bare("doctor", "--json").stdout)["findings"]:
        assert finding["state"] != WRONG or finding["fix"], finding


def test_doctor_is_content_with_this_installation(toys, tmp_path):
    ended = toys.run("dojo", "doctor", "--json", TIKTOKEN_CACHE_DIR=str(tmp_path / "none"), EDITOR="no-such-editor")
    found = {one["name"]: one for one in json.loads(ended.stdout)["findings"]}
    assert found["python"]["state"] == OK
    assert found["writing"]["state"] == OK
    assert found["torch"]["seen"].startswith("runs on cpu")
    assert found["editor"]["seen"] == "EDITOR says 'no-such-editor', which was not found"
    assert (found["vocabulary"]["state"], found["vocabulary"]["fix"]) == (NOTE, "dojo doctor --fetch")


def test_a_python_out_of_range_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "supported", lambda: ((4, 0), (4, 2)))
    found = next(iter(doctor.python()))
    assert (found.state, found.fix) == (WRONG, "python3 -m venv .venv")
    assert found.seen.endswith("but this needs 4.0 to 4.1")


def test_the_range_and_the_packages_are_those_of_pyproject():
    assert doctor.supported() == ((3, 11), (3, 15))
    assert {"torch", "click", "rich", "psutil", "pytest"} <= {name for name, _ in doctor.dependencies()}


def test_an_old_or_missing_package_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "dependencies", lambda: [("click", "99.1"), ("no-such-package", "0"), ("pytest", "8")])
    wrong, right = doctor.packages()
    assert wrong.seen.endswith("99.1 or newer is needed), no-such-package (missing)")
    assert right.seen.split()[0] in ("click", "pytest")


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("raise ImportError('no libtorch')", "cannot be imported: ImportError: no libtorch"),
        ("import time; time.sleep(60)", "could"),
    ],
)
def test_a_torch_that_is_broken_or_slow_is_wrong(monkeypatch, code, seen):
    monkeypatch.setattr(doctor, "TORCH", code)
    monkeypatch.setattr(doctor, "IMPORT_SECONDS", 2.0)
    (finding,) = doctor.torch()
    assert finding.state == WRONG
    assert finding.seen.startswith(seen)


def pytest_of(toys, **more):
    """What doctor finds about pytest."""
    ended = toys.run("dojo", "doctor", "--json", **more)
    (found,) = [one for one in json.loads(ended.stdout)["findings"] if one["name"] == "pytest"]
    assert ended.returncode == (found["state"] == WRONG)
    return found


@pytest.mark.parametrize("name", ["PYTEST_PLUGINS", "PYTEST_ADDOPTS", "KATA_PROFILE"])
def test_a_setting_that_keeps_pytest_from_starting_is_found(toys, name):
    found = pytest_of(toys, **{name: "--nothing-here" if name == "PYTEST_ADDOPTS" else "nothing_here"})
    assert (found["state"], found["fix"].split()[-1].strip("=")) == (WRONG, name)
    assert re.search("nothing.here", found["seen"]), found


def test_edited_tests_are_noticed(toys, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(toys.root), *words], check=True, capture_output=True)

    monkeypatch.setattr(doctor, "ROOT", toys.root)
    assert next(doctor.git()).seen.startswith("this folder is not a git clone")
    git("init")
    git("add", "tests", "solutions")
    git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "all")
    assert states(doctor.git()) == {"git": OK}
    toys.write("tests/toys/test_doubling.py", "")
    toys.write("solutions/toys/doubling.py", "")
    (finding,) = doctor.git()
    assert finding.seen == "edited since the last commit: solutions/toys/doubling.py, tests/toys/test_doubling.py"
    assert finding.fix.startswith("git -C ")
    killed = subprocess.CompletedProcess([], -9, "", "\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    assert [finding.seen for finding in doctor.git()] == ["git says: nothing, and ends with code -9"]


def test_a_folder_that_cannot_be_written_is_wrong(toys, monkeypatch):
    monkeypatch.setattr(doctor, "ROOT", toys.root)
    assert states(doctor.write_access()) == {"writing": OK}
    toys.path(".dojo").rmdir()
    toys.write(".dojo", "in the way")
    assert states(doctor.write_access()) == {"writing": WRONG}


def test_another_clone_is_wrong(toys, monkeypatch):
    monkeypatch.chdir(toys.root)
    found = next(doctor.clone())
    assert found.state == WRONG
    assert found.seen.endswith(f"but you are in {toys.root}")


# Fetching GPT-2's vocabulary, from a server of our own.


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server that gives what `answers` says for a name, as two files of which the hashes are right."""
    answers = {"encoder.json": b"{}" * 1000, "vocab.bpe": b"a b\n" * 1000}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = answers.get(self.path.strip("/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content[:100])
            if content.startswith(b"slow"):
                for byte in content:
                    time.sleep(0.05)
                    self.wfile.write(bytes([byte]))
            self.wfile.write(content[100:])

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that gives up is what a test is about."""

    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    files = tuple(File(name, hashlib.sha256(content).hexdigest()) for name, content in answers.items())
    monkeypatch.setattr(vocabulary, "BASE", f"http://127.0.0.1:{running.server_port}/")
    monkeypatch.setattr(vocabulary, "FILES", files)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield answers
    running.shutdown()
    running.server_close()


def fetched(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").glob("*"))


def test_the_vocabulary_is_fetched_into_tiktokens_cache(server, tmp_path):
    said = []
    assert states(doctor.gpt2()) == {"vocabulary": NOTE}
    assert vocabulary.fetch_all(said.append) == ""
    assert len(said) == 2
    assert fetched(tmp_path) == sorted(file.cached_as for file in vocabulary.FILES)
    assert states(doctor.gpt2()) == {"vocabulary": OK}
    assert vocabulary.fetch_all(said.append) == ""
    assert len(said) == 2, "what is there is not fetched again"


def test_content_with_another_hash_is_not_kept(server, tmp_path):
    server["vocab.bpe"] = b"<html>log in first</html>"
    assert "that are not GPT-2's vocab.bpe" in vocabulary.fetch_all(lambda line: None)
    assert fetched(tmp_path) == [vocabulary.FILES[0].cached_as]


def test_half_a_file_in_the_cache_counts_as_none(server, tmp_path):
    vocabulary.fetch_all(lambda line: None)
    (tmp_path / "cache" / vocabulary.FILES[0].cached_as).write_bytes(b"{}")
    assert states(doctor.gpt2()) == {"vocabulary": NOTE}
    assert vocabulary.fetch_all(lambda line: None) == ""
    assert states(doctor.gpt2()) == {"vocabulary": OK}


def test_a_server_that_trickles_is_given_up(server, tmp_path, monkeypatch):
    server["encoder.json"] = b"slow" * 100
    monkeypatch.setattr(vocabulary, "SECONDS", 0.5)
    begun = time.monotonic()
    assert "it took longer than 0.5 seconds" in vocabulary.fetch_all(lambda line: None)
    assert time.monotonic() - begun < 5
    assert fetched(tmp_path) == []


def test_no_network_is_told_plainly(server, monkeypatch):
    del server["encoder.json"]
    assert "could not be fetched: Not Found" in vocabulary.fetch_all(lambda line: None)
    monkeypatch.setattr(vocabulary, "BASE", "http://127.0.0.1:9/")
    told = vocabulary.fetch_all(lambda line: None)
    assert told.startswith("GPT-2's vocabulary could not be fetched: ")
    assert told.endswith("Everything else works without it.")


def test_a_cache_that_cannot_be_written_is_told(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "file"))
    assert "cannot be written" in vocabulary.fetch_all(lambda line: None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert vocabulary.fetch_all(lambda line: None).startswith("TIKTOKEN_CACHE_DIR is empty")
    assert next(doctor.gpt2()).fix == "unset TIKTOKEN_CACHE_DIR"


def test_addresses_hashes_and_places_are_tiktokens_own(monkeypatch):
    openai_public = pytest.importorskip("tiktoken_ext.openai_public")
    asked = {}
    monkeypatch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda **given: asked.update(given))
    openai_public.gpt2()
    encoder, merges = vocabulary.FILES
    assert asked == {
        "encoder_json_file": encoder.url,
        "encoder_json_hash": encoder.sha256,
        "vocab_bpe_file": merges.url,
        "vocab_bpe_hash": merges.sha256,
    }
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert vocabulary.folder().name == "data-gym-cache"
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", "elsewhere")
    assert str(vocabulary.folder()) == "elsewhere"


def test_doctor_tells_what_fetching_came_to(toys):
    toys.write(
        "dojo/system/vocabulary.py",
        toys.read("dojo/system/vocabulary.py").replace("https://openaipublic", "http://127.0.0.1:9/"),
    )
    ended = toys.run("dojo", "doctor", "--fetch", "--json", TIKTOKEN_CACHE_DIR=str(toys.path("cache")))
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["fetch"].startswith("GPT-2's vocabulary could not be fetched")
