# Installs what is missing; sourced by scripts/run and scripts/test. Packages are Debian 12's.
# keel_install package...: needs root or sudo only if something is missing.
keel_install() {
  local missing=()
  local package
  for package in "$@"; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return 0
  fi
  if [ "$KEEL_INSTALL" = no ]; then
    echo "missing packages (not installed, --no-install): ${missing[*]}"
    return 0
  fi
  echo "installing: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "neither root nor sudo: install these packages by hand, then use --no-install: ${missing[*]}" >&2
      exit 2
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

KEEL_BUILD_PACKAGES="g++ cmake ninja-build git libfmt-dev nlohmann-json3-dev libcli11-dev libvalijson-dev libgtest-dev libgc-dev systemtap-sdt-dev libbenchmark-dev libmimalloc-dev libjs-dygraphs golang-go"
KEEL_PLOT_PACKAGES="python3 python3-numpy python3-matplotlib"
KEEL_TEST_PACKAGES="spin clang clang-format libclang-rt-14-dev python3-jsonschema gdb chromium parallel"
