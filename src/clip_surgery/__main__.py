"""`python -m clip_surgery`: the command line, where scripts are not on the path."""

from clip_surgery.apps.cli.main import run

if __name__ == "__main__":
    run()
