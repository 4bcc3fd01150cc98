#!/usr/bin/env bash
# Judge the model of a change against the champion: what the templates in github/ and gitlab/ run.
# Its exit code is that of `groundwork eval`: 0 promote, 4 rejected or inconclusive, 5 integrity, 6 unavailable,
# 3 bad data, 2 usage, 1 bug. Leaves report/ with the evaluation and comment.md.
#
# AGAINST   what it must beat: champion
# MODEL     what is judged; artifacts/segmenter: the model of this change, trained here unless DVC restores it
# DATA      dataset version; HEAD: the one that data/dataset.dvc of this change names
# BASE      revision that the change goes to; the comment says if the rules of the gate differ from it
# ATTEMPTS  how often to try while something is unavailable    PAUSE  seconds before the second try, then twice
set -u
against=${AGAINST:-champion}
model=${MODEL:-artifacts/segmenter} data=${DATA:-HEAD} base=${BASE:-} attempts=${ATTEMPTS:-3} pause=${PAUSE:-30}
out=report
export PATH="$PWD/.venv/bin:$PATH"

# A variable that nobody set in the settings of the project arrives here as an empty text.
for name in MLFLOW_TRACKING_URI GROUNDWORK_REMOTE_URL GROUNDWORK_BUNDLES_URL GROUNDWORK_LEDGER_URL \
  GROUNDWORK_S3_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION; do
  [ -n "${!name:-}" ] || unset "$name"
done

judge() {
  if [ "$model" = artifacts/segmenter ]; then
    groundwork data pull --json >"$out.json" || return
    groundwork train --json >"$out.json" || return
  fi
  groundwork eval --model "$model" --data "$data" --against "$against" --out "$out" --json >"$out.json"
}

write_comment() {
  if [ -f "$out/decision.json" ]; then
    groundwork report --format markdown --decision "$out/decision.json" ${base:+--base "$base"} && return
  fi
  if [ -f "$out/summary.md" ]; then
    cat "$out/summary.md"
    [ ! -f "$out/decision.json" ] ||
      printf '\n⚠️ **The rules of the gate could not be compared with those of the base.** The log says why.\n'
    return
  fi
  printf '## Evaluation gate: ⚠️ no decision\n\nThe evaluation ended with exit code %s before there was %s\n' \
    "$1" "a decision, so nothing may be promoted. The log says why."
}

say() { # level, sentence
  if [ "${GITHUB_ACTIONS:-}" = true ]; then echo "::$1::$2"; else echo "$1: $2"; fi
}

# Until they are resumed, the runner obeys no command in what is printed: names of classes and files are in it.
hush=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
[ "${GITHUB_ACTIONS:-}" != true ] || echo "::stop-commands::$hush"
rm -rf "$out" "$out.json" comment.md
attempt=1
while :; do
  judge
  code=$?
  [ "$code" -eq 6 ] && [ "$attempt" -lt "$attempts" ] || break
  echo "unavailable, trying again in $pause s (attempt $attempt of $attempts)" >&2
  sleep "$pause"
  attempt=$((attempt + 1)) pause=$((2 * pause))
done
write_comment "$code" >comment.md
mkdir -p "$out"
mv comment.md "$out/comment.md"
[ ! -f "$out.json" ] || mv "$out.json" "$out/stdout.json"
[ "${GITHUB_ACTIONS:-}" != true ] || echo "::$hush::"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$out/comment.md" >>"$GITHUB_STEP_SUMMARY"

case $code in
  0) say notice "The gate says promote. Nothing was promoted: that is what \`groundwork promote\` does." ;;
  4) say error "The gate does not promote this model: rejected or inconclusive, see report/comment.md." ;;
  6) say error "A store or service is unavailable after $attempts attempts: run this job again." ;;
  5) say error "Data or model are not what their hashes say: nothing was judged. Do not run it again unchanged." ;;
  3) say error "The data breaks a rule: nothing was judged." ;;
  2) say error "Model, data or rules that do not exist were asked for: correct the settings of this job." ;;
  *) say error "The evaluation ended with exit code $code: nothing was judged." ;;
esac
exit "$code"
