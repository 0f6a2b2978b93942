"""Loaded into Python by site, from the front of PYTHONPATH, so that libraries which ignore HTTPS_PROXY reach it too.

It first runs the sitecustomize that it hides, just as site would have. Then it waits for the modules that PATCHES names
to be imported, and gives each to the function of that name in agentproxy_preload.py, beside this file, which says what
they do. Until then nothing is imported. Python 2 and Pythons before 3.6 only get their own sitecustomize.
"""
import os
import sys

HERE = os.path.dirname(__file__)
PATCHES = {
    "http.client": "http_client",
    "urllib3.connection": "urllib3",
    "urllib3.connectionpool": "urllib3_pool",
    "aiohttp.client_reqrep": "aiohttp",
    "asyncio.base_events": "asyncio",
}


def chain():
    """Runs the next sitecustomize in our place. If there is none, the ImportError is what site expects."""
    sys.path[:] = [p for p in sys.path if p != HERE]
    sys.path_importer_cache.pop(HERE, None)
    del sys.modules["sitecustomize"]
    import sitecustomize  # noqa: F401 - another one


class Hook(object):
    """Finds the modules to patch as the finders behind it do, and patches each when it has run."""

    def __init__(self, url, no_proxy):
        self.url, self.no_proxy, self.preload = url, no_proxy, None

    def find_spec(self, name, path=None, target=None):
        if name not in PATCHES:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            if spec is not None:
                try:
                    self.watch(spec.loader)
                except Exception:
                    pass  # a loader that cannot be watched loads as ever
                return spec
        return None

    def watch(self, loader):
        if isinstance(loader, type):
            return  # it loads every module of its kind
        run = loader.exec_module

        def exec_module(module):
            del loader.exec_module
            run(module)
            self.patch(module)

        loader.exec_module = exec_module

    def patch(self, module):
        try:
            if self.preload is None:
                from importlib import util
                spec = util.spec_from_file_location("agentproxy_preload", os.path.join(HERE, "agentproxy_preload.py"))
                self.preload = util.module_from_spec(spec)
                spec.loader.exec_module(self.preload)
                self.proxy = self.preload.Proxy(self.url, self.no_proxy)
            getattr(self.preload, PATCHES[module.__name__])(self.proxy, module)
        except Exception:
            pass  # a proxy or a version that we do not know: the library does as it does without us


def install():
    url = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    if not url or sys.version_info < (3, 6):
        return
    hook = Hook(url, os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "")
    sys.meta_path.insert(0, hook)
    for name in PATCHES:  # whom the other sitecustomize has imported
        if name in sys.modules:
            hook.patch(sys.modules[name])


ourselves = sys.modules[__name__]  # Python 2 clears a module that nobody holds
try:
    chain()
finally:
    install()
