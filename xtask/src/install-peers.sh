# Installs the Debian packages given as arguments and keeps their services from starting: maintainer
# scripts ask policy-rc.d first, and 101 means "not allowed". Whatever policy there was is put back,
# also after a failure or an interruption.
set -eu
policy=/usr/sbin/policy-rc.d
saved="$policy.before-larder"
mark='larder: no service starts while peers of the tests are installed'

restore() {
    rm -f "$policy"
    if [ -e "$saved" ] || [ -L "$saved" ]; then
        mv "$saved" "$policy"
    fi
}

# A run that was killed has left its own policy in place, which is not one to keep.
if [ -e "$policy" ] && ! grep -q "$mark" "$policy"; then
    mv -f "$policy" "$saved"
fi
trap restore EXIT
trap 'exit 130' HUP INT TERM
printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" > "$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "$@"
