"""Time from the shell to a result: processes that import torch, open_clip, or explain one image.

Run `OMP_NUM_THREADS=1 python benchmarks/startup.py`. The processes run in turns, and the table has
the shortest processor time of each (user and system) and its ratio to `import torch`. The text
features are cached, as they are from the second run of a command on.

The second table is the cost of the reference words, which are encoded once for each model: a
ViT-B/16 with random weights, one thread.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from clip_surgery.evaluation import SceneDataset
from clip_surgery.explainer import REFERENCE_TEMPLATES
from clip_surgery.inputs.vocabulary import resolve_vocabulary

RUN = "import sys; from clip_surgery.apps.cli.main import run; sys.argv[0] = 'clip-surgery'; run()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image.png")
        SceneDataset(seed=11, count=1)[0].image.save(image)
        explain = ["explain", str(image), "dog", "--model", "demo", "--out", folder, "--quiet"]
        commands = {
            "import torch": ["-c", "import torch"],
            "import clip_surgery": ["-c", "import clip_surgery"],
            "import open_clip": ["-c", "import open_clip"],
            "clip-surgery explain image.png dog --model demo": ["-c", RUN, *explain],
        }
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(options.repeats + 1):  # the first round also fills the caches
            for name, arguments in commands.items():
                best[name] = min(best[name], processor_seconds(arguments))
    print("| process | processor time, s | ratio to `import torch` |\n|---|---|---|")
    for name, seconds in best.items():
        print(f"| `{name}` | {seconds:.2f} | {seconds / best['import torch']:.2f} |")
    print_cost_of_reference_words()


def processor_seconds(arguments: list[str]) -> float:
    """Return user and system time of a Python process with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_cost_of_reference_words() -> None:
    """Print the time of encoding each vocabulary with a ViT-B/16, without a cache."""
    import open_clip

    import clip_surgery as cs
    from clip_surgery.text.bank import encode_texts

    backbone = cs.wrap(open_clip.create_model("ViT-B-16"), cache=False).backbone
    print("\n| reference words | prompts | processor time, s |\n|---|---|---|")
    for vocabulary in ("small", "common"):
        words = resolve_vocabulary(vocabulary) or ()
        start = time.process_time()
        with torch.no_grad():
            encode_texts(backbone, words, templates=REFERENCE_TEMPLATES)
        seconds = time.process_time() - start
        print(f"| `{vocabulary}` | {len(words)} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
