#!/usr/bin/env python3
"""Scores `showfloor replay` on real recordings and prints a Markdown table beside the simple methods of the data's README.

  scripts/accuracy.py [--binary PATH] [--data DIR]

DIR is the folder `data` of the shared files (default: SHOWFLOOR_DATA, or ../shared/data); the scoring rule is its
sibling ../tools/score_positions.py. Without the data: says that it was skipped, and fails when CI is set.
Standard library only; Python 3.11 or later.
"""
import argparse, concurrent.futures, json, os, pathlib, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent.parent

# From the data's README, under the same rule: (method, figures in the order of the table).
BASELINES = {
    "office12, 9 walks": [
        ("nearest receiver", "4.11", "3.16", "7.83", "39 %", "9.2 s (7)"),
        ("weighted centroid", "3.37", "3.10", "6.23", "35 %", "13.8 s (13)"),
        ("least squares, no survey", "2.07", "1.78", "3.69", "73 %", "8.2 s (1)"),
        ("least squares, survey", "2.30", "1.84", "4.50", "67 %", "8.1 s (1)"),
        ("5 nearest fingerprints", "2.12", "1.90", "3.81", "68 %", "9.9 s (0)"),
        ("a first grid Bayes filter, no survey", "1.92", "1.75", "3.45", "", ""),
        ("the same, Gaussian-process map of the survey", "1.61", "1.34", "3.13", "", ""),
    ],
    "office12, standing still, 6.4 h": [
        ("nearest receiver", "3.34", "7.22", "59 %", "366"),
        ("least squares, no survey", "2.14", "4.61", "64 %", "420"),
        ("least squares, survey", "2.01", "4.76", "67 %", "356"),
        ("5 nearest fingerprints", "1.69", "3.29", "85 %", "406"),
    ],
    "carbay, 5 drives": [
        ("nearest receiver", "78 %", "9.9 s (2)"),
        ("least squares, no survey", "72 %", "9.8 s (0)"),
        ("random forest of the other drives", "87 %", ""),
    ],
    "sim6x4, diagonal / border": [
        ("weighted centroid", "0.22 / 0.66", "0.85 / 1.19", "0.1 % / 2.2 %", "2.0 / 2.6 s"),
        ("least squares, known parameters", "0.48 / 0.54", "1.03 / 1.07", "0.1 % / 0.9 %", "2.0 / 2.0 s"),
        ("ESPresense-companion's own report", "0.60 / 0.60", "1.33 / 1.61", "6.6 % / 22.3 %", "–"),
    ],
}
COLUMNS = {
    "office12, 9 walks": ["mean", "median", "p90", "zone right", "change seen after, p95 (missed)"],
    "office12, standing still, 6.4 h": ["mean", "p90", "zone right", "zone changes an hour"],
    "carbay, 5 drives": ["zone right", "change seen after, p95 (missed)"],
    "sim6x4, diagonal / border": ["median", "p95", "wrong room", "change seen after, p95"],
}


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{done.stderr}")
    return done.stdout


class Bench:
    """Replays and scores; each replay writes into a folder of its own."""

    def __init__(self, binary, data, folder):
        self.binary, self.data, self.folder = binary, data, folder
        self.rule = data.parent / "tools" / "score_positions.py"

    def replay(self, site, recording):
        out = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "positions.jsonl"
        run([self.binary, "replay", "--site", site, "--in", recording, "--positions", out])
        return out

    def score(self, site, pairs, extra=(), scored_by=None):
        """pairs: (recording, truth), or (site, recording, truth); scored against the zones of scored_by, or of site."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            positions = list(pool.map(lambda pair: self.replay(site or pair[0], pair[-2]), pairs))
        parts = [part for pair, p in zip(pairs, positions) for part in ("--truth", pair[-1], "--positions", p)]
        return json.loads(run([sys.executable, self.rule, *parts, "--site", scored_by or site, *extra]))


def share(value):
    return f"{100 * value:.0f} %"


def seen(score):
    s = score.get("switch_s", {})
    return f"{s['p95']:.1f} s ({s['missed']})" if s.get("n") else "–"


def walk_row(name, score):
    e = score["error_m"]
    return (name, f"{e['mean']:.2f}", f"{e['median']:.2f}", f"{e['p90']:.2f}", share(score["zone_accuracy"]), seen(score))


def still_row(name, score):
    e = score["error_m"]
    flaps = f"{score['flaps_per_hour']:.1f}"
    return (name, f"{e['mean']:.2f}", f"{e['p90']:.2f}", share(score["zone_accuracy"]), flaps)


def rows(bench):
    """All rows of our own by table, and the scores behind them."""
    data = bench.data / "positioning"
    office, carbay, sim = data / "office12", data / "carbay", data / "sim6x4"
    pairs = lambda folder: [(r, folder / (r.name.removesuffix(".jsonl.gz") + ".truth.jsonl")) for r in sorted(folder.glob("*.jsonl.gz"))]
    site, surveyed = office / "site.toml", pathlib.Path(bench.folder) / "surveyed.toml"
    survey = ["--in", office / "survey.jsonl.gz", "--truth", office / "survey.truth.jsonl"]
    run([bench.binary, "calibrate", "--site", site, *survey, "--out", surveyed])
    # Each drive with what the four others taught of the zones.
    drives, taught = pairs(carbay), []
    for left_out in drives:
        fitted = pathlib.Path(bench.folder) / f"{left_out[0].name}.toml"
        others = [part for r, t in drives if r != left_out[0] for part in ("--in", r, "--truth", t)]
        run([bench.binary, "calibrate", "--site", carbay / "site.toml", *others, "--out", fitted])
        taught.append((fitted, *left_out))
    walks, still = pairs(office / "tracks"), [(office / "stationary.jsonl.gz", office / "stationary.truth.jsonl")]
    scores = {
        "walks": bench.score(site, walks),
        "walks, survey": bench.score(surveyed, walks, scored_by=site),
        "still": bench.score(site, still),
        "still, survey": bench.score(surveyed, still, scored_by=site),
        "carbay": bench.score(carbay / "site.toml", drives, ["--edge", "0"]),
        "carbay, taught": bench.score(None, taught, ["--edge", "0"], scored_by=carbay / "site.toml"),
    }
    for name in ("diagonal", "border"):
        pair = [(sim / f"{name}.jsonl.gz", sim / f"{name}.truth.jsonl")]
        scores[name] = bench.score(sim / "site.toml", pair, ["--edge", "0.3"])
    d, b = scores["diagonal"], scores["border"]
    both = lambda f: f"{f(d)} / {f(b)}"
    ours = {
        "office12, 9 walks": [walk_row("**showfloor, no survey**", scores["walks"]), walk_row("**showfloor, survey**", scores["walks, survey"])],
        "office12, standing still, 6.4 h": [still_row("**showfloor, no survey**", scores["still"]), still_row("**showfloor, survey**", scores["still, survey"])],
        "carbay, 5 drives": [
            (f"**showfloor, {how}**", share(scores[key]["zone_accuracy"]), seen(scores[key]))
            for how, key in (("no survey", "carbay"), ("taught by the other drives", "carbay, taught"))
        ],
        "sim6x4, diagonal / border": [(
            "**showfloor**",
            both(lambda s: f"{s['error_m']['median']:.2f}"),
            both(lambda s: f"{s['error_m']['p95']:.2f}"),
            both(lambda s: f"{100 * (1 - s['zone_accuracy']):.1f} %"),
            both(lambda s: f"{s['switch_s']['p95']:.1f}") + " s",
        )],
    }
    return ours, scores


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--binary", type=pathlib.Path, default=HERE / "target/release/showfloor")
    ap.add_argument("--data", type=pathlib.Path, default=os.environ.get("SHOWFLOOR_DATA") or HERE.parent / "shared/data")
    a = ap.parse_args()
    data = pathlib.Path(a.data).resolve()
    if not (data / "positioning").is_dir() or not (data.parent / "tools/score_positions.py").is_file():
        print(f"skipped: no recordings at {data} (set SHOWFLOOR_DATA or --data)")
        sys.exit(1 if os.environ.get("CI") else 0)
    if not a.binary.is_file():
        sys.exit(f"no program at {a.binary}: build it with cargo build --release, or say --binary")
    with tempfile.TemporaryDirectory() as folder:
        ours, scores = rows(Bench(a.binary.resolve(), data, folder))
    for title, columns in COLUMNS.items():
        print(f"\n| {title} | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
        for row in ours[title] + BASELINES[title]:
            print("| " + " | ".join(row) + " |")
    print("\n| | seconds with a position | error within the stated sigma (honest: 0.68) |\n|---|---|---|")
    for name, s in scores.items():
        print(f"| {name} | {s['coverage']:.4f} | {s.get('sigma_share', '–')} |")


if __name__ == "__main__":
    main()
