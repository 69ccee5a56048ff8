"""Files that only a run can judge: each stands for katas/toys/doubling.py, whose `double` gives a number twice as large.

A row has a name, the file, the outcomes that are right (green only where the file does what is asked), and what the
screen has to say.
"""
# ruff: noqa: E501

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GREEN, RED, NONE = 0, 1, 3
ENDED = 143  # what dojo itself answers to SIGTERM
KILLED = -9
RIGHT = "def double(number):\n    return number + number\n"


@dataclass(frozen=True)
class Row:
    """A file, the exit codes that are right, and what the screen has to say."""

    name: str
    file: str | bytes | Callable[[Path], object]
    codes: tuple[int, ...]
    says: str = ""
    touches: bool = False  # whether it writes into the repository, which dojo does not prevent


def body(code: str, before: str = "") -> str:
    """A double whose body is this code; `right` is the right result."""
    indented = "".join(f"    {line}\n" for line in code.splitlines())
    return (
        f"import os, signal, subprocess, sys, tempfile, threading, time, warnings\n{before}\n\n"
        f"def double(number):\n    right = number + number\n{indented}    return right\n"
    )


def at_import(code: str) -> str:
    """A right double below code that runs while the file is loaded."""
    return f"import atexit, os, signal, subprocess, sys, tempfile, threading, time, warnings\n{code}\n\n\n{RIGHT}"


def forked(code: str) -> str:
    """Code in a process of its own, whose parent has gone, in a session of its own and with an empty environment."""
    program = f"[sys.executable, '-c', {code!r}]"
    return (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.execve(sys.executable, {program}, {{}})\n    os._exit(0)\nos.wait()"
    )


RUN_FOLDER = "os.path.dirname(os.environ['TMPDIR'])"


def replaced(name: str, how: str) -> str:
    """A file of the run's own folder is another thing now."""
    return body(
        f"path = os.path.join({RUN_FOLDER}, {name!r})\nif not os.path.islink(path):\n    os.remove(path)\n    {how}"
    )


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def unreadable(path: Path) -> None:
    path.write_text(RIGHT, encoding="utf-8")
    path.chmod(0)


TEXTS = (
    Row("a right file", RIGHT, (GREEN,)),
    Row("byte order mark", b"\xef\xbb\xbf" + RIGHT.encode(), (GREEN,)),
    Row("CRLF", RIGHT.replace("\n", "\r\n"), (GREEN,)),
    Row("CR alone", RIGHT.replace("\n", "\r"), (GREEN,)),
    Row("no line end at the end", RIGHT.rstrip(), (GREEN,)),
    Row("tabs", RIGHT.replace("    ", "\t"), (GREEN,)),
    Row("tabs and spaces", "def double(number):\n\tx = 1\n        return number + number\n", (RED,), "inconsistent use of tabs"),
    Row("form feed", "\x0c" + RIGHT, (GREEN,)),
    Row("Latin-1 with a coding line", "# -*- coding: latin-1 -*-\n# é\n".encode("latin-1") + RIGHT.encode(), (GREEN,)),
    Row("Latin-1 without a coding line", "# é\n".encode("latin-1") + RIGHT.encode(), (RED,), "the byte 0xe9 is not UTF-8"),
    Row("an unknown coding", b"# coding: klingon\n" + RIGHT.encode(), (RED,), "unknown encoding"),
    Row("a coding that is none of text", b"# coding: hex\n" + RIGHT.encode(), (RED,)),
    Row("names hidden by a coding", b"# coding: unicode_escape\nfrom \\x74orch import *\n" + RIGHT.encode(), (RED,), "imports everything from torch"),
    Row("UTF-7", b"# coding: utf-7\n" + RIGHT.replace("+", "+-").encode(), (GREEN,)),
    Row("UTF-16", RIGHT.encode("utf-16"), (RED,), "UTF-16"),
    Row("UTF-32", RIGHT.encode("utf-32"), (RED,)),
    Row("a NUL byte", RIGHT.encode() + b"\0", (RED,), "a NUL byte"),
    Row("nothing but NUL bytes", b"\0" * 4096, (RED,), "a NUL byte"),
    Row("a picture", bytes(range(256)) * 20, (RED,)),
    Row("empty", b"", (RED,), "defines no double"),
    Row("comments only", "# later\n", (RED,), "defines no double"),
    Row("a docstring only", '"""Later."""\n', (RED,), "defines no double"),
    Row("10 MB", b"#" * 10_000_000 + b"\n" + RIGHT.encode(), (RED,), "not used"),
    Row("20 000 lines", "x = 1\n" * 20_000 + RIGHT, (GREEN,)),
    Row("one line of 900 KB", f"x = '{'y' * 900_000}'\n{RIGHT}", (GREEN,)),
    Row("1 000 open brackets", "x = " + "(" * 1000 + ")" * 1000 + "\n" + RIGHT, (RED,)),
    Row("a sum of 20 000 terms", "x = " + "+".join(["1"] * 20_000) + "\n" + RIGHT, (RED,)),
    Row("a chain of 5 000 attributes", "import os\nx = lambda: os" + ".path" * 5_000 + "\n" + RIGHT, (RED, GREEN)),
    Row("90 nested blocks", "".join(" " * i + "if True:\n" for i in range(90)) + " " * 90 + "x = 1\n" + RIGHT, (RED, GREEN)),
    Row("200 nested blocks", "".join(" " * i + "if True:\n" for i in range(200)) + " " * 200 + "x = 1\n" + RIGHT, (RED,)),
    Row("an indent too much", "  " + RIGHT, (RED,), "is not valid Python"),
    Row("an unclosed string", RIGHT + "x = 'y\n", (RED,), "is not valid Python"),
    Row("a merge's marks", f"<<<<<<< ours\n{RIGHT}=======\n{RIGHT}>>>>>>> theirs\n", (RED,), "is not valid Python"),
    Row("Python 2", "def double(number):\n    print number\n", (RED,), "is not valid Python"),
    Row("return outside of a function", RIGHT + "return 1\n", (RED,), "is not valid Python"),
    Row("a Cyrillic letter in the name", RIGHT.replace("double", "dоuble"), (RED,), "defines no double"),
    Row("curly quotes", "x = “y”\n" + RIGHT, (RED,), "is not valid Python"),
    Row("text that turns around", "# \u202e reversed \u2066\n" + RIGHT, (GREEN,)),
)  # fmt: skip

FILES = (
    Row("a link to the reference", lambda path: path.symlink_to("../../solutions/toys/doubling.py"), (RED,), "is a link"),
    Row("a link to standard input", lambda path: path.symlink_to("/dev/stdin"), (RED,), "is a link"),
    Row("a link to endless zeros", lambda path: path.symlink_to("/dev/zero"), (RED,), "is a link"),
    Row("a link to nothing", lambda path: path.symlink_to("nowhere.py"), (RED,), "is a link"),
    Row("a link to itself", lambda path: path.symlink_to(path.name), (RED,), "is a link"),
    Row("a FIFO", fifo, (RED,), "is not a regular file"),
    Row("a socket", bound_socket, (RED,), "is not a regular file"),
    Row("a folder", lambda path: path.mkdir(), (RED,), "is not a regular file"),
    Row("unreadable", unreadable, (RED, GREEN)),  # root reads it all the same
    Row("another case", lambda path: path.with_name("Doubling.py").write_text(RIGHT, encoding="utf-8"), (RED,), "is missing"),
    Row("another ending", lambda path: path.with_name("doubling.py.txt").write_text(RIGHT, encoding="utf-8"), (RED,), "is missing"),
    Row("a package of that name", lambda path: path.with_suffix("").mkdir(), (RED,), "is missing"),
    Row("no file", lambda path: None, (RED,), "is missing"),
)  # fmt: skip

DEFINITIONS = (
    Row("a lambda", "double = lambda number: number + number\n", (GREEN,)),
    Row("a partial", "import functools, operator\ndouble = functools.partial(operator.mul, 2)\n", (GREEN,)),
    Row("an object that can be called", "class D:\n    def __call__(self, number):\n        return number * 2\n\n\ndouble = D()\n", (GREEN,)),
    Row("a class with __new__", "class double:\n    def __new__(cls, number):\n        return number * 2\n", (GREEN,)),
    Row("a class", "class double:\n    def __init__(self, number):\n        self.number = number\n", (RED,)),
    Row("async def", "async " + RIGHT, (RED,)),
    Row("a generator", "def double(number):\n    yield number + number\n", (RED,)),
    Row("None", "double = None\n", (RED,)),
    Row("a number", "double = 6\n", (RED,)),
    Row("a name of builtins", "from operator import add as double\n", (RED,), "defines no double"),
    Row("no argument", "def double():\n    return 6\n", (RED,)),
    Row("an argument more", "def double(number, other):\n    return number + other\n", (RED,)),
    Row("an argument of another name", "def double(x):\n    return x + x\n", (GREEN,)),
    Row("renamed", "def doubled(number):\n    return number + number\n", (RED,), "was double renamed?"),
    Row("below if False", "if False:\n    def double(number):\n        return number + number\n", (RED,), "defines no double"),
    Row("deleted again", RIGHT + "del double\n", (RED,), "defines no double"),
    Row("inside a class", "class C:\n    def double(self, number):\n        return number + number\n", (RED,), "inside C"),
    Row("pass", "def double(number):\n    pass\n", (RED,)),
    Row("a text", "def double(number):\n    return f'{2 * number}'\n", (RED,)),
    Row("not implemented", "def double(number):\n    return NotImplemented\n", (RED,)),
    Row("itself without end", "def double(number):\n    return double(number)\n", (RED,), "RecursionError"),
    Row("an annotation that raises", "def double(number: 1 / 0):\n    return number + number\n", (RED,), "ZeroDivisionError"),
    Row("an annotation that is unknown", "def double(number: 'Unknown') -> 'Nothing':\n    return number + number\n", (GREEN, RED)),
    Row("annotations that are none", RIGHT + "double.__annotations__ = {'number': object()}\n", (GREEN, RED)),
    Row("a decorator that raises", "def broken(f):\n    raise TypeError('broken')\n\n\n@broken\n" + RIGHT, (RED,), "broken"),
    Row("a decorator that forgets", "def broken(f):\n    pass\n\n\n@broken\n" + RIGHT, (RED,)),
    Row("a metaclass that raises", "class M(type):\n    def __call__(cls, *a):\n        raise OSError('no')\n\n\nclass double(metaclass=M): ...\n", (RED,)),
    Row("a metaclass without attributes", "class M(type):\n    def __getattribute__(cls, n):\n        raise OSError(n)\n\n\nclass double(metaclass=M):\n    def __new__(cls, n):\n        return n + n\n", (RED, GREEN)),
    Row("a module's __getattr__ that raises", "def __getattr__(name):\n    raise OSError(name)\n", (RED,)),
    Row("a module's __getattr__ that gives", "def __getattr__(name):\n    return lambda number: number + number\n", (RED,), "defines no double"),
    Row("a module's __dir__ that raises", "def __dir__():\n    raise OSError\n\n\n" + RIGHT, (GREEN, RED)),
    Row("a module without a file", "__file__ = None\n" + RIGHT, (GREEN, RED)),
    Row("a module of another name", "__name__ = 'tests.support'\n" + RIGHT, (GREEN, RED)),
    Row("a module without builtins", "__builtins__ = {}\n" + RIGHT, (RED, GREEN)),
    Row("a number that equals all", "class Yes(int):\n    def __eq__(self, other):\n        return False\n    __hash__ = None\n\n\ndef double(number):\n    return Yes(1)\n", (RED,)),
    Row("an object whose repr raises", "class Odd:\n    def __repr__(self):\n        raise OSError('no repr')\n\n\ndef double(number):\n    return Odd()\n", (RED,)),
    Row("an object whose repr hangs", "import time\n\n\nclass Odd:\n    def __repr__(self):\n        time.sleep(600)\n\n\ndef double(number):\n    return Odd()\n", (NONE,), "stopped after"),
    Row("an object whose repr is 10 MB", "class Odd:\n    def __repr__(self):\n        return 'x' * 10_000_000\n\n\ndef double(number):\n    return Odd()\n", (RED,)),
    Row("an object that compares without end", "class Odd:\n    def __eq__(self, other):\n        while True: pass\n    __hash__ = None\n\n\ndef double(number):\n    return Odd()\n", (NONE,), "stopped after"),
)  # fmt: skip

ERRORS = (
    Row("SystemExit", body("sys.exit(0)"), (RED, NONE), "sys.exit"),
    Row("SystemExit while loading", at_import("sys.exit(0)"), (RED,), "SystemExit"),
    Row("SystemExit with an odd code", body("raise SystemExit(object())"), (RED, NONE)),
    Row("KeyboardInterrupt", body("raise KeyboardInterrupt"), (RED, NONE), "KeyboardInterrupt"),
    Row("KeyboardInterrupt while loading", at_import("raise KeyboardInterrupt"), (RED, NONE), "KeyboardInterrupt"),
    Row("GeneratorExit", body("raise GeneratorExit"), (RED, NONE)),
    Row("StopIteration", body("raise StopIteration"), (RED,)),
    Row("MemoryError", body("raise MemoryError"), (RED,)),
    Row("a new base exception", body("raise Odd", "class Odd(BaseException): ..."), (RED, NONE)),
    Row("a base exception while loading", at_import("class Odd(BaseException): ...\nraise Odd"), (RED,), "Odd"),
    Row("a file that is not there", at_import("open('words.txt')"), (RED,), "words.txt"),
    Row("a file that is not there, raised", at_import("raise FileNotFoundError('my own words')"), (RED,), "my own words"),
    Row("a file of the same name elsewhere", at_import("open('/nowhere/katas/toys/doubling.py')"), (RED,), "/nowhere"),
    Row("an import that is not there", "import nowhere_at_all\n" + RIGHT, (RED,), "nowhere_at_all"),
    Row("itself imported", "from .doubling import double\n", (RED,)),
    Row("its follower imported", "from .quadrupling import quadruple\n" + RIGHT, (RED, GREEN)),
    Row("str raises", body("raise Odd", "class Odd(Exception):\n    def __str__(self):\n        raise OSError('no')"), (RED,), "cannot be shown"),
    Row("str raises SystemExit", body("raise Odd", "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit"), (RED,)),
    Row("str raises itself", body("raise Odd", "class Odd(Exception):\n    def __str__(self):\n        raise self"), (RED,)),
    Row("str gives a number", body("raise Odd", "class Odd(Exception):\n    def __str__(self):\n        return 3"), (RED,)),
    Row("str raises while loading", at_import("class Odd(Exception):\n    def __str__(self):\n        raise OSError('no')\n\n\nraise Odd"), (RED,)),
    Row("str hangs", body("raise Odd", "class Odd(Exception):\n    def __str__(self):\n        time.sleep(600)"), (NONE, RED), "stopped after"),
    Row("repr raises", body("raise Odd", "class Odd(Exception):\n    def __repr__(self):\n        raise OSError('no')\n    __str__ = __repr__"), (RED,)),
    Row("a message of 20 MB", body("raise ValueError('x' * 20_000_000)"), (RED,)),
    Row("a message of 100 000 lines", body("raise ValueError('x\\n' * 100_000)"), (RED,)),
    Row("a message that steers the terminal", body("raise ValueError('\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\r\\x08')"), (RED,), "ValueError"),
    Row("an assertion that steers the terminal", body("raise AssertionError('\\x1b[2J\\x1b]0;owned\\x07')"), (RED,)),
    Row("an error's name that steers the terminal", body("raise type('O\\x1b[2Jdd', (Exception,), {})('x')"), (RED,)),
    Row("a message of half characters", body("raise ValueError('\\ud800 \\udfff')"), (RED,), "ValueError"),
    Row("notes that are none", body("e = ValueError('x')\ne.__notes__ = [1, None]\nraise e"), (RED,), "ValueError"),
    Row("notes that are a number", body("e = ValueError('x')\ne.__notes__ = 5\nraise e"), (RED,), "ValueError"),
    Row("an assertion whose msg is a number", body("e = AssertionError('x')\ne.msg = 5\nraise e"), (RED,)),
    Row("an assertion without arguments", body("raise AssertionError"), (RED,)),
    Row("a group of errors", body("raise ExceptionGroup('many', [ValueError(i) for i in range(500)])"), (RED,), "many"),
    Row("5 000 chained errors", body("e = ValueError('first')\nfor i in range(5000):\n    n = ValueError(str(i))\n    n.__cause__ = e\n    e = n\nraise e"), (RED,), "ValueError"),
    Row("5 000 errors in each other's context", body("e = ValueError('first')\nfor i in range(5000):\n    n = ValueError(str(i))\n    n.__context__ = e\n    e = n\nraise e"), (RED,), "ValueError"),
    Row("5 000 chained errors while loading", at_import("e = ValueError('first')\nfor i in range(5000):\n    n = ValueError(str(i))\n    n.__cause__ = e\n    e = n\nraise e"), (RED,), "ValueError"),
    Row("errors that cause each other", body("a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a"), (RED,), "ValueError"),
    Row("900 frames deep", body("def deep(n):\n    if n == 0:\n        raise ValueError('deep')\n    deep(n - 1)\ndeep(500)"), (RED,), "deep"),
    Row("a warning as an error", at_import("warnings.simplefilter('error')\nwarnings.warn('old')"), (RED,), "UserWarning"),
    Row("warnings as errors from now on", at_import("warnings.simplefilter('error')"), (GREEN,)),
    Row("5 000 warnings", body("for i in range(5000):\n    warnings.warn(f'old {i}')"), (GREEN,)),
    Row("a skip by another's exception", body("raise type('Skipped', (BaseException,), {'msg': 'x', 'allow_module_level': True})"), (RED, NONE)),
    Row("an error that is a class's property", body("raise Odd", "class Odd(Exception):\n    @property\n    def __class__(self):\n        raise OSError"), (RED, NONE)),
    Row("an error with a lying class", body("raise Odd", "class Odd(Exception):\n    __class__ = SystemExit"), (RED, NONE)),
)  # fmt: skip

OUTPUTS = (
    Row("a flood of prints", body("while True:\n    print('x' * 1000)"), (NONE,), "printed more than"),
    Row("a flood on standard error", body("while True:\n    print('x' * 1000, file=sys.stderr)"), (NONE,), "printed more than"),
    Row("a flood below Python", body("while True:\n    os.write(1, b'x' * 1000)"), (NONE,), "printed more than"),
    Row("a flood while loading", at_import("while True:\n    print('x' * 1000)"), (NONE,), "printed more than"),
    Row("prints that steer the terminal", body("print('\\x1b[2J\\x1b]0;owned\\x07\\x9b31m')\nright = 0"), (RED,)),
    Row("prints of half characters", body("print('\\ud800')\nright = 0"), (RED,)),
    Row("bytes that are no text", body("os.write(1, bytes(range(256)))\nright = 0"), (RED,)),
    Row("a line like a verdict", at_import("print('green   2 of 2 clauses')\nprint('3 passed in 0.01s')") + "    return 0\n".replace("    ", ""), (RED,)),
    Row("standard output closed", body("sys.stdout.close()"), (GREEN, RED, NONE)),
    Row("file descriptors closed", body("os.closerange(0, 3)"), (GREEN, RED, NONE)),
    Row("all file descriptors closed", body("os.closerange(0, 256)"), (GREEN, RED, NONE)),
    Row("output sent elsewhere", body("os.dup2(os.open(os.devnull, os.O_WRONLY), 1)"), (GREEN, RED, NONE)),
)  # fmt: skip

ENDS = (
    Row("os._exit(0)", body("os._exit(0)"), (NONE,), "before its last test"),
    Row("os._exit(0) while loading", at_import("os._exit(0)"), (NONE,), "files were being loaded"),
    Row("os._exit(1)", body("os._exit(1)"), (NONE,)),
    Row("os._exit(0) at the end", at_import("atexit.register(os._exit, 0)") .replace("+ number", "- number"), (RED,)),
    Row("os.abort", body("os.abort()"), (NONE,), "SIGABRT"),
    Row("a segmentation fault", body("os.kill(os.getpid(), signal.SIGSEGV)"), (NONE,), "SIGSEGV"),
    Row("SIGKILL to itself", body("os.kill(os.getpid(), signal.SIGKILL)"), (NONE,), "SIGKILL"),
    Row("SIGTERM to itself", body("os.kill(os.getpid(), signal.SIGTERM)"), (NONE,), "SIGTERM"),
    Row("SIGINT to itself", body("os.kill(os.getpid(), signal.SIGINT)"), (GREEN, RED, NONE)),
    Row("SIGSTOP to itself", body("os.kill(os.getpid(), signal.SIGSTOP)"), (NONE,), "stopped after"),
    Row("an alarm", body("signal.alarm(1)\ntime.sleep(600)"), (NONE,), "stopped after"),
    Row("all signals ignored", body("for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):\n    signal.signal(number, signal.SIG_IGN)\nwhile True:\n    pass"), (NONE,), "stopped after"),
    Row("another program in its place", body("os.execv('/bin/true', ['true'])"), (NONE,), "before its last test"),
    Row("another program that stays", body("os.execv('/bin/sleep', ['sleep', '600'])"), (NONE,), "stopped after"),
    Row("SIGTERM to dojo", body("os.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(600)"), (ENDED,)),
    Row("SIGKILL to dojo", body("os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"), (KILLED,)),
    Row("SIGSTOP to dojo", body("os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(600)"), (NONE,), "stopped after"),
    Row("SIGSTOP to dojo and right", body("os.kill(os.getppid(), signal.SIGSTOP)"), (GREEN, NONE)),
)  # fmt: skip

HANGS = (
    Row("an endless loop", body("while True:\n    pass"), (NONE,), "stopped after"),
    Row("an endless loop while loading", at_import("while True:\n    pass"), (NONE,), "files were being loaded"),
    Row("an endless loop that catches all", body("while True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass"), (NONE,), "stopped after"),
    Row("a sleep", body("time.sleep(600)"), (NONE,), "time.sleep(600)"),
    Row("a lock that nobody opens", body("lock = threading.Lock()\nlock.acquire()\nlock.acquire()"), (NONE,), "stopped after"),
    Row("a regular expression without end", body("import re\nre.match('(a+)+$', 'a' * 60 + 'b')"), (NONE,), "stopped after"),
    Row("a number too large", body("10 ** 10 ** 9"), (NONE,), "stopped after"),
    Row("standard input", body("sys.stdin.read()\nos.read(0, 1)"), (GREEN, RED)),
    Row("a FIFO opened", body("path = os.path.join(os.environ['TMPDIR'], 'f')\nos.mkfifo(path)\nopen(path)"), (NONE,), "stopped after"),
    Row("input()", body("input('? ')"), (RED,), "nobody can answer"),
    Row("breakpoint()", body("breakpoint()"), (RED,), "nobody can answer"),
    Row("a thread that stays", body("threading.Thread(target=time.sleep, args=(600,)).start()"), (NONE, GREEN)),
    Row("a daemon thread", body("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"), (GREEN,)),
    Row("200 threads", body("for _ in range(70):\n    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"), (GREEN,)),
    Row("a function at the end that stays", at_import("atexit.register(time.sleep, 600)"), (NONE, GREEN)),
    Row("a __del__ that stays", at_import("class Odd:\n    def __del__(self):\n        time.sleep(600)\n\n\nkept = Odd()"), (NONE, GREEN)),
    Row("a __del__ that raises", at_import("class Odd:\n    def __del__(self):\n        raise OSError\n\n\nkept = Odd()\nkept = None"), (GREEN,)),
    Row("a hook for errors", at_import("import sys\nsys.excepthook"), (GREEN,)),
    Row("no more recursion", at_import("sys.setrecursionlimit(60)"), (GREEN, RED, NONE)),
    Row("recursion without limit", body("sys.setrecursionlimit(10 ** 9)\ndef deep():\n    return deep() + 1\ndeep()"), (NONE, RED)),
)  # fmt: skip

PROCESSES = (
    Row("a child", body("subprocess.Popen(['sleep', '600'])"), (GREEN,)),
    Row("a child in a session of its own", body("subprocess.Popen(['sleep', '600'], start_new_session=True)"), (GREEN,)),
    Row("a child without environment", body("subprocess.Popen(['sleep', '600'], env={}, start_new_session=True)"), (GREEN,)),
    Row("a child that holds the output", body("subprocess.Popen(['sh', '-c', 'sleep 600; echo x'])"), (GREEN,)),
    Row("a daemon", body(forked("import time; time.sleep(600)")), (GREEN,)),
    Row("a daemon that ignores signals", body(forked("import signal, time; signal.signal(15, 1); signal.signal(1, 1); time.sleep(600)")), (GREEN,)),
    Row("a daemon while loading", at_import(forked("import time; time.sleep(600)")), (GREEN,)),
    Row("a daemon and an end", body(forked("import time; time.sleep(600)") + "\nos._exit(0)"), (NONE,)),
    Row("a daemon and a hang", body(forked("import time; time.sleep(600)") + "\ntime.sleep(600)"), (NONE,), "stopped after"),
    Row("a daemon that was stopped", body(forked("import os, time; os.kill(os.getpid(), 19); time.sleep(600)")), (GREEN,)),
    Row("a daemon that makes others", body(forked("import os, time\nfor _ in range(20):\n    os.fork() or time.sleep(600)\ntime.sleep(600)")), (GREEN,)),
    Row("a daemon that moves on", body(forked("import os, time\nfor _ in range(300):\n    if os.fork(): os._exit(0)\n    time.sleep(0.05)\ntime.sleep(600)")), (GREEN,)),
    Row("30 forks", body("for _ in range(30):\n    os.fork() or time.sleep(600)"), (GREEN,)),
    Row("a fork that goes on with the tests", body("os.fork()"), (GREEN, RED, NONE)),
    Row("a pool that stays", body("import concurrent.futures\npool = concurrent.futures.ProcessPoolExecutor(1)\npool.submit(time.sleep, 600)"), (NONE, GREEN)),
    Row("a shell in the background", body("os.system('nohup setsid sleep 600 >/dev/null 2>&1 &')"), (GREEN,)),
    Row("memory", body("kept = []\nwhile True:\n    kept.append(bytearray(10_000_000))"), (NONE,), "of memory"),
    Row("memory at once", body("bytearray(10 ** 18)"), (RED,), "MemoryError"),
    Row("memory of a child", body("subprocess.run([sys.executable, '-c', 'k = []\\nwhile 1: k.append(bytearray(10 ** 7))'])"), (NONE,), "of memory"),
    Row("memory of a daemon", body(forked("k = []\nwhile len(k) < 200: k.append(bytearray(10 ** 7))\nimport time; time.sleep(600)") + "\ntime.sleep(600)"), (NONE,), "of memory"),
    Row("memory in a file without a name", body("kept = [os.memfd_create('x') for _ in range(20)]\nfor file in kept:\n    os.write(file, bytes(10 ** 8))\ntime.sleep(600)"), (NONE,), "of memory"),
    Row("the hard limits taken down", body("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"), (GREEN, RED, NONE)),
    Row("a lower priority", body("os.nice(19)"), (GREEN,)),
)  # fmt: skip

PLACES = (
    Row("the run's files removed", body(f"import shutil\nshutil.rmtree({RUN_FOLDER})"), (RED, NONE)),
    Row("the run's folder renamed", body(f"path = {RUN_FOLDER}\nif os.path.exists(path):\n    os.rename(path, path + '-away')"), (GREEN, NONE)),
    Row("the record removed", body(f"import glob\nfor path in glob.glob({RUN_FOLDER} + '/record'):\n    os.remove(path)"), (GREEN, NONE)),
    Row("the record a FIFO", replaced("record", "os.mkfifo(path)"), (GREEN,)),
    Row("the record a link to endless zeros", replaced("record", "os.symlink('/dev/zero', path)"), (GREEN,)),
    Row("the record a folder", body(f"path = {RUN_FOLDER} + '/record'\nif os.path.isfile(path):\n    os.remove(path)\n    os.mkdir(path)"), (GREEN,)),
    Row("the record overwritten", body(f"path = {RUN_FOLDER} + '/record'\nopen(path, 'wb').write(bytes(range(256)) * 100)"), (NONE, GREEN)),
    Row("a record that was written by hand", body(f"path = {RUN_FOLDER} + '/record'\nwith open(path, 'a') as file:\n    for test in ('test_the_double_is_the_sum', 'test_a_double_is_even'):\n        print('{{\"record\": \"test\", \"test\": \"%s\", \"outcome\": \"passed\", \"seconds\": 0.1}}' % test, file=file)\n    print('{{\"record\": \"end\"}}', file=file)\nos._exit(0)"), (NONE,)),
    Row("200 MB in the record", body(f"path = {RUN_FOLDER} + '/record'\nwith open(path, 'ab') as file:\n    file.write(b'x' * 200_000_000)\ntime.sleep(600)"), (NONE,)),
    Row("the output a FIFO", replaced("output", "os.mkfifo(path)"), (GREEN,)),
    Row("the output a link to endless zeros", replaced("output", "os.symlink('/dev/zero', path)"), (GREEN,)),
    Row("the stack a FIFO, and a hang", body(f"path = {RUN_FOLDER} + '/stack'\nos.remove(path)\nos.mkfifo(path)\ntime.sleep(600)"), (NONE,), "stopped after"),
    Row("the stack a link to endless zeros, and a hang", body(f"path = {RUN_FOLDER} + '/stack'\nos.remove(path)\nos.symlink('/dev/zero', path)\ntime.sleep(600)"), (NONE,), "stopped after"),
    Row("1 GB in the temporary folder", body("for place in range(3):\n    with open(os.path.join(os.environ['TMPDIR'], str(place)), 'wb') as file:\n        file.truncate(400_000_000)\n        file.write(b'x')\ntime.sleep(600)"), (NONE,), "stopped"),
    Row("a file of 2 GB", body("with open(os.path.join(os.environ['TMPDIR'], 'x'), 'wb') as file:\n    file.truncate(2_000_000_000)"), (RED, NONE)),
    Row("3 000 folders in each other", body("here = os.getcwd()\nos.chdir(os.environ['TMPDIR'])\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nos.chdir(here)"), (GREEN, RED)),
    Row("a temporary folder that is shut", body("path = os.path.join(os.environ['TMPDIR'], 'shut')\nos.makedirs(path + '/in', exist_ok=True)\nos.chmod(path, 0)"), (GREEN,)),
    Row("20 000 temporary files", body("for place in range(7000):\n    open(os.path.join(os.environ['TMPDIR'], f'{number}-{place}'), 'w').close()"), (GREEN,)),
    Row("links out of the temporary folder", body("path = os.path.join(os.environ['TMPDIR'], 'out')\nif not os.path.islink(path):\n    os.symlink(os.getcwd(), path)"), (GREEN,)),
    Row("another folder", body("os.chdir('/')"), (GREEN, RED)),
    Row("a folder that is gone", body("path = tempfile.mkdtemp()\nos.chdir(path)\nos.rmdir(path)"), (GREEN, RED, NONE)),
    Row("the learner's secrets", body("assert 'private' not in os.environ.values()"), (GREEN,)),
    Row("no environment", body("os.environ.clear()"), (GREEN, RED)),
    Row("files without rights", body("os.umask(0o777)"), (GREEN, RED, NONE)),
    Row("a new file in the repository", body("open('katas/toys/notes.txt', 'w').close()"), (GREEN,), touches=True),
    Row("its own file rewritten", body("open(__file__, 'a').write('# more\\n')"), (GREEN,), touches=True),
    Row("its own file removed", at_import("os.remove(__file__)"), (GREEN, RED), touches=True),
    Row("the time set back", at_import("def time():\n    return 0.0"), (GREEN,)),
    Row("random numbers set", at_import("import random\nrandom.seed(0)"), (GREEN,)),
)  # fmt: skip

ROWS = (*TEXTS, *FILES, *DEFINITIONS, *ERRORS, *OUTPUTS, *ENDS, *HANGS, *PROCESSES, *PLACES)
