"""What the whole-program tests share."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ESTRAN = pathlib.Path(sys.argv[1]).resolve()
SCRATCH = pathlib.Path(sys.argv[2]).resolve()
EXAMPLE = "examples/01-first-run/scenario.yaml"
DATA = pathlib.Path(os.environ.get("ESTRAN_DATA", ROOT.parent / "shared" / "data"))


def estran(*words, cwd=ROOT, timeout=200, **more):
    """Runs the program; gives the finished process with text stdout and stderr."""
    return subprocess.run([str(ESTRAN), *map(str, words)], cwd=cwd, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, **more)


class Case(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def certificate(self, name, authority=None):
        """NAME.pem and NAME.key in the folder, signed by the authority, else by itself; without the ends."""
        place = self.folder / name
        words = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", f"{place}.key", "-subj", f"/CN={name}"]
        if authority is None:
            subprocess.run([*words, "-x509", "-days", "2", "-out", f"{place}.pem"], check=True,
                           capture_output=True)
            return place
        subprocess.run([*words, "-out", f"{place}.csr"], check=True, capture_output=True)
        names = self.write(f"{name}.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        subprocess.run(["openssl", "x509", "-req", "-in", f"{place}.csr", "-CA", f"{authority}.pem",
                        "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2", "-extfile",
                        str(names), "-out", f"{place}.pem"], check=True, capture_output=True)
        return place

    def ok(self, *words, **more):
        done = estran(*words, **more)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
        return done

    def fails(self, code, expected, *words, **more):
        """Exits with code and says all of expected in one line on stderr."""
        done = estran(*words, **more)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, f"{words}: not one line: {done.stderr}")
        for part in expected:
            self.assertIn(part, lines[0], f"{words}")
        return done


def example(samples=True):
    """The first example as text that can be written anywhere; without samples, requests are drawn."""
    folder = (ROOT / EXAMPLE).parent
    text = (ROOT / EXAMPLE).read_text().replace("models/", f"{folder}/models/")
    if not samples:
        return re.sub(r"    (samples|labels): .*\n", "", text)
    return re.sub(r"    (samples|labels): ", rf"\g<0>{folder}/", text)


def data(name):
    """Path of real data, or skips the test, saying so."""
    path = DATA / name
    if not path.exists():
        print(f"skipped: real data not found at {path} (set ESTRAN_DATA)")
        raise unittest.SkipTest(f"no {path}")
    return path


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
