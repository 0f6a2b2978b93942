"""Loaded into Python by site, from the front of PYTHONPATH, so that libraries which ignore HTTPS_PROXY reach it too.

It first runs the sitecustomize that it hides, just as site would have. Then it waits for the modules that PATCHES names
to be imported, and gives each to the function of that name in agentproxy_preload.py, beside this file, which says what
they do. Nothing is imported that the program does not import. Python 2 and Pythons before 3.6 only get their own
sitecustomize.

A program must not notice it. The hook gives way to whoever else takes part in imports: to a finder in front of it, to one
that wraps it (Mercurial's demandimport), to a loader that puts execution off; such a module stays as it is. It learns that
a module has run from the spec's "_initializing", which the import system clears last (importlib._bootstrap, Python 3.6 to
3.14), so no frame of ours is on the stack while a module runs. Its code is called NAME and not by a file, so coverage,
tracers and debuggers pass it over. What fails in it is undone and noted in hooks.log in the state directory, if that can
be written.
"""
import os
import sys

HERE = os.path.dirname(__file__)
NAME = "<agentproxy>"
PATCHES = {
    "http.client": "http_client",
    "urllib3.connection": "urllib3",
    "urllib3.connectionpool": "urllib3_pool",
    "aiohttp.client_reqrep": "aiohttp",
    "asyncio.base_events": "asyncio",
    "certifi.core": "certifi",
}


def chain():
    """Runs the next sitecustomize in our place. If there is none, the ImportError is what site expects."""
    sys.path[:] = [p for p in sys.path if p != HERE]
    sys.path_importer_cache.pop(HERE, None)
    del sys.modules["sitecustomize"]
    import sitecustomize  # noqa: F401 - another one


def note(what):
    """Appends the exception that is being handled to the log; a child that may not write there says nothing."""
    try:
        path = os.path.join(os.environ["AGENT_PROXY_STATE_DIR"], "hooks.log")
        kind, err, trace = sys.exc_info()
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        program = os.path.basename(getattr(sys, "argv", [""])[0])
        line = "python %s, %s, pid %d: %s: %s: %s (line %s)" % (
            sys.version.split()[0], program, os.getpid(), what, getattr(kind, "__name__", "gave way"), err, trace and trace.tb_lineno)
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            if os.fstat(log).st_size < 1 << 16:
                os.write(log, (" ".join(line.split())[:1000] + "\n").encode("utf-8", "replace"))
        finally:
            os.close(log)
    except Exception:
        pass


class Hook(object):
    """Finds the modules to patch as the finders behind it do, and patches each when it has run."""

    def __init__(self, url, no_proxy, bundle):
        self.settings = url, no_proxy, bundle
        self.asking = set()  # (thread, module): a finder that asks the whole import system comes back here
        self.preload = None
        self.get_ident = built_in("_thread").get_ident
        plain, hook = type(sys.__spec__), self

        class ModuleSpec(plain):
            """That of a module that is being waited for; it turns plain when the module has run."""

            @property
            def _initializing(self):
                return self.__dict__.get("_initializing", False)

            @_initializing.setter
            def _initializing(self, value):
                self.__dict__["_initializing"] = value
                if not value:
                    self.__class__ = plain
                    hook.ran(self)

        self.plain, self.waiting = plain, ModuleSpec

    def find_spec(self, name, path=None, target=None):
        if name not in PATCHES or target is not None:  # target: a module that is loaded again
            return None
        call = self.get_ident(), name
        if call in self.asking:
            return None
        self.asking.add(call)
        try:
            spec = self.ask(name, path)
            if type(spec) is self.plain and spec.loader is not None:
                spec.__class__ = self.waiting
            return spec
        except Exception:
            return None  # the import system asks them itself, and hears it
        finally:
            self.asking.discard(call)

    def ask(self, name, path):
        """Asks the finders behind this one, as the import system is about to."""
        finders = iter(list(sys.meta_path))
        if not any(finder is self for finder in finders):
            return None  # somebody has wrapped it
        behind = list(finders)
        if not all(hasattr(finder, "find_spec") for finder in behind):
            return None
        for finder in behind:
            spec = finder.find_spec(name, path, None)
            if spec is not None:
                return spec
        return None

    def ran(self, spec):
        module = sys.modules.get(spec.name)
        # A module of another type is one that has yet to run (importlib.util.LazyLoader), or no module.
        if type(module) is type(sys) and module.__dict__.get("__spec__") is spec:
            self.patch(module)

    def patch(self, module):
        try:
            if self.preload is None:
                self.load()
            getattr(self.preload, PATCHES[module.__name__])(self.proxy, module)
        except Exception:
            note(module.__name__)  # the library does as it does without us

    def load(self):
        # Not this module's own loader, which another hook may have wrapped.
        loader = built_in("_frozen_importlib_external").SourceFileLoader("agentproxy_preload", os.path.join(HERE, "agentproxy_preload.py"))
        code = loader.get_code("agentproxy_preload")
        rename(code)
        preload = type(sys)("agentproxy_preload")
        preload.note = note
        exec(code, preload.__dict__)
        self.proxy = preload.Proxy(*self.settings)
        self.preload = preload


def built_in(name):
    """Returns a module that every Python has from its start; somebody may have taken it out of sys.modules (ddtrace)."""
    return sys.modules.get(name) or __import__(name)


def rename(code):
    built_in("_imp")._fix_co_filename(code, NAME)


def install():
    url = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    if not url or sys.version_info < (3, 6):
        return
    for function in [note, install, built_in, rename] + [f for f in vars(Hook).values() if hasattr(f, "__code__")]:
        rename(function.__code__)
    hook = Hook(url, os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "", os.environ.get("AGENT_PROXY_CA_BUNDLE_PATH"))
    sys.meta_path.insert(0, hook)
    for name in PATCHES:  # whom the other sitecustomize, or a .pth file, has imported
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is not None:
            hook.ran(spec)


ourselves = sys.modules[__name__]  # Python 2 clears a module that nobody holds
try:
    chain()
finally:
    try:
        install()
    except Exception:
        note("start")
