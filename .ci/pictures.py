"""Traces of a thousand to a million events as pages and in Perfetto, in a real browser: pictures.py [FOLDER]."""
import collections, os, re, resource, subprocess, sys, tempfile, time

from browser import Browser
from perfetto import Perfetto

BUILT = os.environ["BUILT"]
TOOL = f"{BUILT}/isolation-trace"
MEBIBYTE = 1 << 20
kept = sys.argv[1] if len(sys.argv) > 1 else None


def convert(trace, form, path, *options):
    """Writes the trace in another form; returns its size and the peak memory of the writer."""
    process = subprocess.Popen([TOOL, "convert", trace, "--to", form, "-o", path, *options])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (trace, form, process.returncode)
    return os.path.getsize(path), usage.ru_maxrss * 1024


def events(trace):
    counts = subprocess.run([TOOL, "report", trace, "--count-by", "event"], check=True, capture_output=True, text=True)
    return collections.Counter({line.split("event=")[1]: int(line.split()[0]) for line in counts.stdout.splitlines()})


def drawn(page):
    return page.evaluate("[...document.querySelectorAll('.lanes')].map((c) => "
                         "[+c.dataset.marks, +c.dataset.columns, +c.dataset.arrows])")


def picture(page, name):
    if kept:
        os.makedirs(kept, exist_ok=True)
        page.screenshot(os.path.join(kept, name + ".png"))


def mouse(page, kind, x, y, **more):
    page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def number(text):
    return int(re.sub(r"[^0-9]", "", text))


def look_at_page(path, name, dark=False):
    """Draws, zooms by wheel, keyboard and drag, filters, sorts and searches; nothing may throw."""
    with Browser(dark=dark) as page:
        page.open("file://" + os.path.abspath(path))
        page.wait_for("document.querySelector('.lanes')?.dataset.marks")
        picture(page, name)
        whole = drawn(page)
        assert all(marks + columns > 0 for marks, columns, _ in whole), whole
        box = page.evaluate("(({left, top, width}) => ({left, top, width}))"
                            "(document.querySelector('.lanes').getBoundingClientRect())")
        x, y = box["left"] + box["width"] / 2, box["top"] + 60
        total = page.evaluate("[...document.querySelectorAll('.senders tbody tr')]"
                              ".reduce((sum, row) => sum + Number(row.dataset.count), 0)")

        tips = 0
        for step in range(0, 60):
            mouse(page, "mouseMoved", box["left"] + 160 + step * (box["width"] - 180) / 60, box["top"] + 8 + step % 10 * 6)
            tips += page.evaluate("!document.getElementById('tip').hidden")
        assert tips > 0, "the pointer is told something"

        for _ in range(200):
            mouse(page, "mouseWheel", x, y, deltaX=0, deltaY=-300)
            if page.evaluate("document.querySelector('.lanes').dataset.arrows > 0"):
                break
            time.sleep(0.05)
        page.wait_for("document.querySelector('.lanes').dataset.arrows > 0", 60)
        page.wait_for("location.hash.startsWith('#window=')", 60)
        picture(page, name + "-zoomed")
        inside = page.evaluate("[...document.querySelectorAll('.senders tbody td[data-field=count]')]"
                               ".map((cell) => Number(cell.dataset.now))")
        assert sum(inside) < total, (sum(inside), total)
        page.evaluate("document.querySelector('.lanes').focus({preventScroll: true})")
        for key, code in (("0", 48), ("+", 187)):
            page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key, windowsVirtualKeyCode=code)
            page.wait_for(f"(location.hash === '') === {'true' if key == '0' else 'false'}", 60)
        half = page.evaluate("location.hash")
        mouse(page, "mousePressed", x - 100, y, button="left", clickCount=1)
        mouse(page, "mouseMoved", x + 100, y, button="left", buttons=1)
        mouse(page, "mouseReleased", x + 100, y, button="left", clickCount=1)
        page.wait_for(f"location.hash !== '{half}'", 60)  # A drag chooses a window.
        page.evaluate("document.getElementById('all').click()")
        page.wait_for("location.hash === ''", 60)
        again = page.evaluate("[...document.querySelectorAll('.senders tbody td[data-field=count]')]"
                              ".reduce((sum, cell) => sum + Number(cell.dataset.now), 0)")
        assert again == total, (again, total)
        page.evaluate("document.querySelector('.senders thead th').click()")
        page.evaluate("document.querySelector('.senders thead th').click()")
        counts = page.evaluate("[...document.querySelector('.senders').tBodies[0].rows].map((r) => +r.dataset.count)")
        assert counts == sorted(counts), "sorted upwards"
        if page.evaluate("!!document.querySelector('.senders').previousElementSibling?.matches('input')"):
            shown = page.evaluate("""(() => {
              const table = document.querySelector('.senders');
              const word = table.tBodies[0].rows[0].dataset.callback;
              table.previousElementSibling.value = word;
              table.previousElementSibling.dispatchEvent(new Event('input'));
              return [...table.tBodies[0].rows].every((r) => r.hidden === !r.textContent.includes(word));
            })()""")
            assert shown, "a search hides the others"
        assert page.evaluate("performance.getEntriesByType('resource').length") == 0, "nothing is loaded"
        assert not page.errors, page.errors


def look_at_perfetto(trace, path, name):
    counts = events(trace)
    with Perfetto(path) as ui:
        errors = ui.import_errors()
        assert errors == [], errors
        slices = {category: count for category, count in ui.query(
            "select category, count(*) from slice where dur != 0 or category is not null group by category")}
        for category, event in (("tick", "local_timer_entry"), ("irq", "irq_handler_entry"),
                                ("softirq", "softirq_entry"), ("call", "csd_function_entry"),
                                ("ipi_handler", "call_function_single_entry"), ("context", "context_user_enter"),
                                ("deferral", "deferred_work_set")):
            assert slices.get(category, 0) == counts[event], (category, slices.get(category), counts[event])
        marks = ui.query("select count(*) from slice where name like 'IPI to %'")[0][0]
        assert marks == counts["ipi_send_cpu"] + counts["ipi_send_cpumask"], marks
        assert ui.query("select count(*) from slice where name like 'merge %'")[0][0] == counts["deferred_work_merge"]
        pending = ui.query("select count(*) from counter")[0][0]
        assert pending == counts["deferred_work_set"] + counts["deferred_work_drain"], pending
        arrows = ui.query("select count(*) from flow")[0][0]
        assert arrows > counts["ipi_send_cpu"], arrows
        waits = ui.query("select count(*) from slice s join track t on s.track_id = t.id where s.category = 'deferral' "
                         "and t.parent_id in (select id from track where name glob 'CPU * deferred work')")[0][0]
        assert waits == counts["deferred_work_set"], waits
        ui.page.wait_for("document.body.innerText.includes('CPUs 1')", 300)
        mouse(ui.page, "mousePressed", 8, 155, button="left", clickCount=1)
        mouse(ui.page, "mouseReleased", 8, 155, button="left", clickCount=1)
        ui.page.wait_for("document.body.innerText.includes('(churn/')", 120)
        time.sleep(2)
        picture(ui.page, name + "-perfetto")
        return sum(slices.values()), arrows


with tempfile.TemporaryDirectory() as folder:
    for cpus, isolated, count, kind in ((8, "4-7", 1_000, "kernel"), (128, "96-127", 1_000, "kernel"),
                                        (128, "96-127", 100_000, "kernel"), (128, "96-127", 1_000_000, "program"),
                                        (128, "96-127", 1_000_000, "kernel")):
        name = f"{cpus}-{kind}-{count}"
        trace = f"{folder}/{name}.dat"
        subprocess.run([f"{BUILT}/TraceLoad", str(cpus), isolated, str(count), kind, trace], check=True)
        page, page_memory = convert(trace, "html", f"{folder}/t.html")
        native, native_memory = convert(trace, "perfetto", f"{folder}/t.perfetto")
        json_size, _ = convert(trace, "chrome", f"{folder}/t.json")
        os.remove(f"{folder}/t.json")
        print(f"{name}: page {page:,} bytes in {page_memory / MEBIBYTE:.0f} MiB, Perfetto {native:,} bytes "
              f"({native / count:.1f} an event, {native / json_size:.1%} of JSON) in {native_memory / MEBIBYTE:.0f} MiB")
        assert page < 4_000_000 and page_memory <= 64 * MEBIBYTE, (page, page_memory)
        assert native_memory <= 64 * MEBIBYTE, native_memory
        assert count < 10_000 or native <= 100 * count and native * 10 <= json_size, (native, json_size)
        look_at_page(f"{folder}/t.html", name, dark=count == 100_000)
        slices, arrows = look_at_perfetto(trace, f"{folder}/t.perfetto", name)
        print(f"  drawn, zoomed, filtered; Perfetto: no import errors, {slices:,} slices, {arrows:,} arrows")
    subprocess.run([f"{BUILT}/isolation-demo", "--duration", "2", "--json", "--report", f"{folder}/demo.html"],
                   check=True, stdout=subprocess.DEVNULL)
    look_at_page(f"{folder}/demo.html", "demo")
    print("the demo's page: both modes")
