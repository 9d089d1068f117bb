"""Imports as read from the source: of a package's `__init__`, only the names that are imported from it count."""

from __future__ import annotations

import pytest

from benchmarks.results import source_code
from benchmarks.results.source_code import Sources, Unit

INIT = """
from .one import first
from . import two, five
from .three import *

def local():
    return first
"""


@pytest.fixture
def sources(tmp_path):
    files = {
        "lib/__init__.py": INIT,
        "lib/one.py": "first = 1\n",
        "lib/two/__init__.py": "second = 2\nthird = 3\n",
        "lib/two/deep.py": "",
        "lib/three.py": "import numpy\nfourth = 4\n",
        "lib/five.py": "",
        "lib/six/__init__.py": "first = 6\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Sources({"lib": tmp_path})


def closure(sources, code, tmp_path):
    (tmp_path / "lib" / "main.py").write_text(code)
    waiting, units = [("lib.main", "")], set()
    while waiting:
        unit = sources.unit(*waiting.pop())
        if unit is not None and unit not in units:
            units.add(unit)
            waiting += sources.read(unit)[1]
    return {str(unit) for unit in units} - {"lib.main"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from lib import first", {"lib:first", "lib.one"}),
        ("from . import first as f", {"lib:first", "lib.one"}),
        ("from lib import local", {"lib:local", "lib:first", "lib.one"}),
        ("import lib\nlib.local()", {"lib:local", "lib:first", "lib.one"}),
        ("from lib import two\nprint(two.second)", {"lib.two:second"}),
        ("import lib.two\nprint(lib.two.second)", {"lib.two:second"}),
        ("from lib.two import deep", {"lib.two.deep"}),
        ("def f():\n    from lib.one import first", {"lib.one"}),
        ("from lib import five", {"lib:five", "lib.five"}),
        ("import lib.one\nlib.local()", {"lib.one", "lib:local", "lib:first"}),
        ("from lib.two import *", {"lib.two:*"}),
        (
            "def f():\n    import lib as x\n    x.first\nimport lib.six as x\nx.first",
            {"lib:first", "lib.one", "lib.six:first"},
        ),
        ("import numpy", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lib import first", set()),
        ("from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    from lib.two import second", {"lib.two:second"}),
    ],
)
def test_an_import_depends_on_the_names_it_takes(sources, tmp_path, code, expected):
    assert closure(sources, code, tmp_path) == expected


def test_a_package_that_is_used_as_a_value_counts_with_all_its_names(sources, tmp_path):
    assert "lib.two:*" in closure(sources, "from lib import two\nprint(two)", tmp_path)


def test_a_name_from_a_star_import_counts_with_all_names(sources, tmp_path):
    assert {"lib:*", "lib.three"} <= closure(sources, "from lib import fourth", tmp_path)


def test_a_name_that_does_not_exist_is_an_error(sources):
    with pytest.raises(LookupError, match=r"lib\.two has no fifth"):
        sources.unit("lib.two", "fifth")


def test_a_package_that_re_exports_another_name_is_other_code(sources, tmp_path):
    before, _ = sources.read(Unit("lib", "first"))
    (tmp_path / "lib" / "__init__.py").write_text(INIT.replace("import first", "import other as first"))
    source_code._bindings.cache_clear()
    source_code._parsed.cache_clear()
    assert sources.read(Unit("lib", "first"))[0] != before


class TestPlugIns:
    """The packages of a plug-in count as a whole, and with every package on the path of an import."""

    @pytest.fixture
    def plug_in(self, tmp_path):
        files = {
            "package/__init__.py": "from .one import *\n",
            "package/one.py": "first = 1\nfirst *= 2\n",
            "package/inner/deep.py": "",
            "folder/helper.py": "",
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return Sources({}, {"lib": tmp_path, "": tmp_path})

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("from package import *", {"package", "package.one"}),
            ("from package import first", {"package", "package.one"}),
            ("import package.inner.deep as d", {"package", "package.one", "package.inner.deep"}),
            ("from folder import helper", {"folder.helper"}),
            ("try:\n    from .missing import f\nexcept ImportError:\n    f = None", set()),
        ],
    )
    def test_an_import_depends_on_whole_modules(self, plug_in, tmp_path, code, expected):
        (tmp_path / "lib").mkdir()
        assert closure(plug_in, code, tmp_path) == expected
