# For the scripts beside this one: source it. They say in `checks` what they check.
expect() {  # EXIT_CODE TEXT command...: the code and a part of what is printed
  local code=$1 text=$2 came=0
  shift 2
  "$@" >out 2>&1 || came=$?
  if [[ $came -ne $code ]] || ! grep -qF -- "$text" out; then
    cat out >&2
    echo "$checks: '$*' ended with $came, expected $code and '$text'" >&2
    exit 1
  fi
}
