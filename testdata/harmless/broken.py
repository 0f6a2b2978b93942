"""Makes a fifth of a suite's tests fail behind their end: a plugin of pytest's (-p broken), and for unittest
broken.py MODULE..."""
import sys
import unittest
import zlib


def check(name, result):
    if zlib.crc32(name.encode()) % 5 == 0:
        assert result == "as expected", f"{name} is not as expected"


try:
    import pytest
except ImportError:
    pass
else:
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(item):
        result = yield
        check(item.nodeid, result)
        return result


if __name__ == "__main__":
    call = unittest.TestCase._callTestMethod

    def checked(self, method):
        call(self, method)
        check(self.id(), None)

    unittest.TestCase._callTestMethod = checked
    sys.path.insert(0, "")
    unittest.main(module=None, argv=["unittest", *sys.argv[1:]])
