#!/bin/sh
# Makes a key on this machine, has your invitation certify it, and keeps both in a folder. Read it before you run it:
#
#     sh linux.sh [FOLDER]
#
# It needs openssl and curl, and no rights of root. The private key never leaves this machine; nothing is installed, and
# nothing outside the folder is changed. If it was interrupted, run it again: it goes on with the same key.

set -eu
umask 077

link=@LINK@
base=@BASE@
site=@SITE@
own_root=@OWN_ROOT@
second_code=@SECOND@
folder=${1:-"$HOME/mutualgate-client"}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

for program in openssl curl; do
    command -v "$program" >/dev/null 2>&1 || fail "This needs $program, which is not installed."
done
mkdir -p "$folder"
cd "$folder"
# It tells this invitation from others, and opens nothing.
invitation=$(printf '%s' "$link" | openssl dgst -sha256 -r)
if [ -s chain.pem ] && [ -s invitation ]; then
    used=$(cat invitation)
    if [ "$used" != "$invitation" ]; then
        fail "$folder has the certificate of another invitation. Name another folder: sh linux.sh FOLDER"
    fi
fi

# The root that signs this site's certificate. curl trusts it here, and nothing else on this machine does.
set -- --silent --show-error --max-time 60
if [ "$own_root" = yes ]; then
    cat >root.pem <<'END'
@ROOT@
END
    set -- "$@" --cacert root.pem
fi

# 1. The key. A file appears under its name only when it is whole.
if [ ! -s key.pem ]; then
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.new
    mv key.new key.pem
fi
if [ ! -s request.pem ]; then
    openssl req -new -key key.pem -subj /CN=client -out request.new
    mv request.new request.pem
fi

# 2. The certificate. The request proves that the key is here; the name comes from the invitation.
if [ ! -s chain.pem ]; then
    factor=
    if [ "$second_code" = yes ]; then
        printf 'Second code: '
        read -r code
        factor="Second-Factor: $code"
    fi
    # By a pipe: it is written to no file, and no list of processes shows it.
    status=$(printf '%s' "$factor" | curl "$@" --output answer --write-out '%{http_code}' --header @- \
        --header 'Content-Type: application/pkcs10' --data-binary @request.pem "$link/command") ||
        fail "$base does not answer, or cannot prove who it is."
    if [ "$status" = 409 ] || [ "$status" = 410 ]; then
        # Handed in already: by a run before this one, perhaps.
        mv answer refusal
        status=$(curl "$@" --output answer --write-out '%{http_code}' "$link/chain.pem") || status=none
        if [ "$status" != 200 ] && [ "$status" != 202 ]; then
            mv refusal answer
        fi
        rm -f refusal
    fi
    case $status in
    200) ;;
    202)
        cat answer
        fail 'Run this again when it is approved.'
        ;;
    *)
        cat answer >&2
        exit 1
        ;;
    esac
    certified=$(openssl x509 -in answer -noout -pubkey)
    ours=$(openssl pkey -in key.pem -pubout)
    if [ "$certified" != "$ours" ]; then
        fail 'The certificate that came is for another key: somebody else used the invitation. Tell the operator.'
    fi
    printf '%s\n' "$invitation" >invitation
    mv answer chain.pem
fi

# 3. One file for programs that want PKCS#12: both parts in the encoding that all of them read.
if [ ! -s client.p12 ]; then
    if [ ! -s password ]; then
        openssl rand -base64 60 | tr -dc 'A-HJ-NP-Za-kmnp-z2-9' | cut -c 1-20 >password.new
        mv password.new password
    fi
    openssl pkcs12 -export -inkey key.pem -in chain.pem -name mutualgate -passout file:password \
        -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1 -out client.p12.new
    mv client.p12.new client.p12
fi

# 4. Does it let us in?
status=$(curl "$@" --output /dev/null --write-out '%{http_code}' --cert chain.pem --key key.pem "$base/renew") || status=none
[ "$status" = 200 ] || fail "The certificate is here, but the gate does not let it in yet (status $status)."

printf 'Enrolled. In %s:\n' "$folder"
printf '  chain.pem   the certificate, and the one above it\n'
printf '  key.pem     the private key: keep it to yourself\n'
printf '  client.p12  both in one file; its password is in the file password\n'
trust=
if [ "$own_root" = yes ]; then
    trust=" --cacert $folder/root.pem"
fi
printf 'For example:\n  curl --cert %s/chain.pem --key %s/key.pem%s %s/\n' "$folder" "$folder" "$trust" "$site"
