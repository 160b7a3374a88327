# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of bash for fail2ban, fail2ban-client, fail2ban-server and fail2ban-regex.
# It needs nothing but bash; bash-completion loads it by the names of the programs.
#
# The names of jails, of their actions and of those who are banned are asked of the
# daemon, if one runs. They are data: compared and shown, never expanded. A name with
# characters that a shell could take for more than text is left out.

_fail2ban_flags='-b -c -d -e -f -h --help -i -k -p -r -t -v -V --version --check'
_fail2ban_server_flags='-b -c --conf -d --dp --dump-pretty -f -h --help -i --loglevel --logtarget
    -p --pidfile -q -s --socket --str2sec --syslogsocket -t --test --timeout -v -V --version -x'
_fail2ban_client_more='--json'
_fail2ban_regex_flags='-c --config -d --datepattern -D --debuggex -e --encoding --explain
    --full-traceback -h --help -i --invert -l --log-level --log-traceback -L --maxlines
    -m --journalmatch --no-check-all -o --out --print-all-ignored --print-all-matched
    --print-all-missed --print-no-ignored --print-no-missed -r --raw --require-match -t
    --timezone --TZ --usedns -v --verbose --verbose-date --VD --verbosity -V --version'

# Those of them that a value follows.
_fail2ban_valued='-c -e -f -i -p -r -t'
_fail2ban_client_valued='-c --conf -s --socket -p --pidfile --loglevel --logtarget
    --syslogsocket --str2sec --timeout --pname'
_fail2ban_regex_valued='-c --config -d --datepattern --timezone --TZ -e --encoding --usedns
    -L --maxlines -m --journalmatch -l --log-level --verbosity -o --out --explain'

_fail2ban_commands='add alarms banned echo flushlogs get health help metrics ping reload replay
    restart set start stats statistics status stop top unban version watch why why-not'
_fail2ban_get='loglevel logtarget syslogsocket dbfile dbmaxmatches dbpurgeage thread'
_fail2ban_set='dbfile dbmaxmatches dbpurgeage loglevel logtarget syslogsocket'
_fail2ban_get_jail='action actionmethods actionproperties actions banip banned bantime
    bantime.factor bantime.formula bantime.increment bantime.maxtime bantime.multipliers
    bantime.overalljails bantime.rndtime datepattern failregex findtime ignorecache
    ignorecommand ignoreip ignoreregex ignoreself journalmatch logencoding logpath logtimezone
    maxlines maxmatches maxretry prefregex usedns'
_fail2ban_set_jail='action addaction addfailregex addignoreip addignoreregex addjournalmatch
    addlogpath attempt banip bantime bantime.factor bantime.formula bantime.increment
    bantime.maxtime bantime.multipliers bantime.overalljails bantime.rndtime datepattern
    delaction delfailregex delignoreip delignoreregex deljournalmatch dellogpath findtime idle
    ignorecache ignorecommand ignoreself logencoding logtimezone maxlines maxmatches maxretry
    prefregex unbanip usedns'
_fail2ban_kinds='found found_again ignored expired decided banned rebanned ban_failed prolonged
    already_banned unbanned repealed command alarm jail'
_fail2ban_levels='CRITICAL ERROR WARNING NOTICE INFO DEBUG'
_fail2ban_targets='STDOUT STDERR SYSLOG SYSOUT SYSTEMD-JOURNAL'

# What can be chosen ------------------------------------------------------------------

# Offer words of ours: only such lists may be split by the shell.
_fail2ban_offer() {
    local word
    # shellcheck disable=SC2048  # to be split
    for word in $*; do
        [[ $word == "$_fail2ban_cur"* ]] && COMPREPLY+=("$word")
    done
}

_fail2ban_has() { # WORD LIST
    local words=" ${2//$'\n'/ } "
    [[ $words == *" $1 "* ]]
}

# Offer the names that come in from elsewhere, one a line.
_fail2ban_offer_names() {
    local name
    while IFS= read -r name; do
        [[ $name =~ ^[A-Za-z0-9_.:][A-Za-z0-9_.:/@%+-]*$ && $name == "$_fail2ban_cur"* ]] &&
            COMPREPLY+=("$name")
    done
}

# Let readline offer files: it knows how to quote their names.
_fail2ban_files() {
    compopt -o default
}

# Ask the daemon, with the configuration and the socket of the command line; silently.
_fail2ban_ask() {
    local client=${_fail2ban_program%"${_fail2ban_program##*/}"}fail2ban-client wait=()
    command -v -- "$client" >/dev/null || return 0
    command -v timeout >/dev/null && wait=(timeout 5)
    "${wait[@]}" "$client" "${_fail2ban_same[@]}" "$@" 2>/dev/null </dev/null
}

_fail2ban_jails() {
    _fail2ban_offer_names < <(
        _fail2ban_ask status | sed -n 's/.*Jail list:[[:blank:]]*//p' | tr ',' '\n' | tr -d ' '
    )
}

_fail2ban_actions() { # JAIL
    _fail2ban_offer_names < <(
        _fail2ban_ask get "$1" actions | tail -n 1 | tr ',' '\n' | tr -d ' '
    )
}

_fail2ban_banned() { # [JAIL]
    if (($#)); then
        _fail2ban_offer_names < <(_fail2ban_ask get "$1" banip | tr ' ' '\n')
    else
        _fail2ban_offer_names < <(
            _fail2ban_ask banned | grep -oE "'[0-9a-fA-F]*[.:][0-9a-fA-F.:/]+'" | tr -d "'"
        )
    fi
}

# The filters of the configuration.
_fail2ban_filters() {
    local folder=/etc/fail2ban file i
    for ((i = 0; i < ${#_fail2ban_same[@]}; i += 2)); do
        [[ ${_fail2ban_same[i]} == -c ]] && folder=${_fail2ban_same[i + 1]}
    done
    _fail2ban_offer_names < <(
        for file in "$folder"/filter.d/*.conf "$folder"/filter.d/*.local; do
            file=${file##*/}
            [[ $file == \** ]] || printf '%s\n' "${file%.*}"
        done | sort -u
    )
}

# What stands where ---------------------------------------------------------------------

# Offer values of a flag.
_fail2ban_value() { # PROGRAM FLAG
    case $1:$2 in
        *:--loglevel | fail2ban-regex:-l | *:--log-level) _fail2ban_offer "$_fail2ban_levels" ;;
        *:--logtarget)
            _fail2ban_offer "$_fail2ban_targets"
            _fail2ban_files
            ;;
        *:--usedns) _fail2ban_offer yes warn no raw ;;
        fail2ban-regex:-o | *:--out) _fail2ban_offer id fid ip msg row ;;
        fail2ban:-e | *:--jail) _fail2ban_jails ;;
        *:-c | *:--conf | *:--config | *:--socket | *:--pidfile | *:--syslogsocket | *:--dbfile)
            _fail2ban_files
            ;;
        *:-s | *:-p) _fail2ban_files ;;
    esac
}

# Offer the next word of a command to the daemon.
_fail2ban_command() { # WORD...
    case $#:$1 in
        0:) _fail2ban_offer "$_fail2ban_commands" ;;
        *:replay) _fail2ban_replay "${@:2}" ;;
        *:watch) _fail2ban_watch "${@:2}" ;;
        1:top) _fail2ban_offer --once ;;
        1:start | 1:stop | 2:why | 2:why-not) _fail2ban_jails ;;
        1:reload)
            _fail2ban_offer --restart --unban --if-exists --all
            _fail2ban_jails
            ;;
        1:restart)
            _fail2ban_offer --unban --if-exists
            _fail2ban_jails
            ;;
        2:reload | 2:restart) _fail2ban_jails ;;
        1:status)
            _fail2ban_offer --all
            _fail2ban_jails
            ;;
        2:status) _fail2ban_offer basic short cymru ;;
        1:unban)
            _fail2ban_offer --all
            _fail2ban_banned
            ;;
        *:unban | *:banned | 1:why | 1:why-not) _fail2ban_banned ;;
        1:get)
            _fail2ban_offer "$_fail2ban_get"
            _fail2ban_jails
            ;;
        1:set)
            _fail2ban_offer "$_fail2ban_set"
            _fail2ban_jails
            ;;
        *:get) _fail2ban_get_word "${@:2}" ;;
        *:set) _fail2ban_set_word "${@:2}" ;;
    esac
}

_fail2ban_replay() { # WORD...
    if (($#)) && [[ ${!#} == --jail ]]; then
        _fail2ban_jails
    elif [[ $_fail2ban_cur == -* ]]; then
        _fail2ban_offer --jail --list --verbose --resolve
    else
        _fail2ban_files
    fi
}

_fail2ban_watch() { # WORD...
    case ${!#} in
        --jail) _fail2ban_jails ;;
        --kind) _fail2ban_offer "$_fail2ban_kinds" ;;
        *) _fail2ban_offer --jail --kind ;;
    esac
}

_fail2ban_get_word() { # JAIL [OPTION...]
    case $#:$2 in
        1:*) _fail2ban_has "$1" "$_fail2ban_get" || _fail2ban_offer "$_fail2ban_get_jail" ;;
        2:action | 2:actionproperties | 2:actionmethods) _fail2ban_actions "$1" ;;
        2:banip) _fail2ban_offer --with-time ;;
        *:banned) _fail2ban_banned "$1" ;;
    esac
}

_fail2ban_set_word() { # JAIL [OPTION...], or an option of the daemon
    case $#:$1:$2 in
        1:loglevel:) _fail2ban_offer "$_fail2ban_levels" ;;
        1:logtarget:)
            _fail2ban_offer "$_fail2ban_targets"
            _fail2ban_files
            ;;
        1:*) _fail2ban_has "$1" "$_fail2ban_set" || _fail2ban_offer "$_fail2ban_set_jail" ;;
        2:*:unbanip)
            _fail2ban_offer --report-absent
            _fail2ban_banned "$1"
            ;;
        *:unbanip) _fail2ban_banned "$1" ;;
        2:*:addlogpath | 2:*:dellogpath) _fail2ban_files ;;
        3:*:addlogpath) _fail2ban_offer head tail ;;
        2:*:action | 2:*:delaction) _fail2ban_actions "$1" ;;
        2:*:idle) _fail2ban_offer on off ;;
        2:*:usedns) _fail2ban_offer yes warn no raw ;;
        2:*:ignoreself | 2:*:bantime.increment | 2:*:bantime.overalljails)
            _fail2ban_offer true false
            ;;
    esac
}

# Offer the next of LOG, REGEX and IGNOREREGEX, or of JAIL.
_fail2ban_regex() { # EXPLAIN WORD...
    local explain=$1
    shift
    if [[ $explain ]]; then
        (($#)) || _fail2ban_jails
        return
    fi
    case $# in
        0) _fail2ban_offer systemd-journal ;;
        1)
            _fail2ban_filters
            _fail2ban_jails
            ;;
        2) _fail2ban_filters ;;
    esac
    _fail2ban_files
}

# The whole line ------------------------------------------------------------------------

# Offer what can stand at the cursor; bash calls it with the program's name.
_fail2ban() {
    local _fail2ban_program=$1 _fail2ban_cur='' _fail2ban_same=()
    local name=${1##*/} valued word last='' glued='' explain='' i
    local all=() words=()
    COMPREPLY=()
    # bash takes `--conf=x` and `2001:db8::7` apart.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == [:=]* || $glued ]] && ((${#all[@]})); then
            all[${#all[@]} - 1]+=$word
        else
            all+=("$word")
        fi
        glued=
        [[ $word == *[:=] ]] && glued=yes
    done
    _fail2ban_cur=${all[${#all[@]} - 1]}
    local typed=$_fail2ban_cur
    case $name in
        fail2ban) valued=$_fail2ban_valued ;;
        fail2ban-regex) valued=$_fail2ban_regex_valued ;;
        *) valued=$_fail2ban_client_valued ;;
    esac
    for word in "${all[@]:0:${#all[@]}-1}"; do
        if [[ $last ]]; then
            _fail2ban_note "$last" "$word"
            last=
        elif ((${#words[@]})) && [[ $name != fail2ban-regex ]]; then
            words+=("$word") # what looks like a flag belongs to the command
        elif [[ $word == --*=* ]]; then
            _fail2ban_note "${word%%=*}" "${word#*=}"
        elif [[ $word == -?* ]]; then
            _fail2ban_has "$word" "$valued" && last=$word
            [[ $word == --explain ]] && explain=yes
        else
            words+=("$word")
        fi
    done
    if [[ $last ]]; then
        _fail2ban_value "$name" "$last"
    elif [[ $_fail2ban_cur == --*=* ]] && ! ((${#words[@]})); then
        last=${_fail2ban_cur%%=*}
        _fail2ban_cur=${_fail2ban_cur#*=}
        _fail2ban_value "$name" "$last"
    else
        _fail2ban_word "$name" "$explain" "${words[@]}"
    fi
    _fail2ban_shorten "$typed"
}

# Offer a flag, or what comes next.
_fail2ban_word() { # PROGRAM EXPLAIN WORD...
    local name=$1 explain=$2
    shift 2
    if [[ $_fail2ban_cur == -* ]] && { ! (($#)) || [[ $name == fail2ban-regex ]]; }; then
        case $name in
            fail2ban) _fail2ban_offer "$_fail2ban_flags" ;;
            fail2ban-regex) _fail2ban_offer "$_fail2ban_regex_flags" ;;
            fail2ban-server) _fail2ban_offer "$_fail2ban_server_flags" ;;
            *) _fail2ban_offer "$_fail2ban_server_flags" "$_fail2ban_client_more" ;;
        esac
    elif [[ $name == fail2ban-regex ]]; then
        _fail2ban_regex "$explain" "$@"
    elif [[ $name != fail2ban ]]; then
        _fail2ban_command "$@"
    fi
}

# Remember which daemon is meant.
_fail2ban_note() { # FLAG VALUE
    case $1 in
        -c | --conf | --config) _fail2ban_same+=(-c "$2") ;;
        -s | --socket) _fail2ban_same+=(-s "$2") ;;
    esac
}

# Leave out what stands before the part of a word that bash replaces.
_fail2ban_shorten() { # TYPED
    local part=${COMP_WORDS[COMP_CWORD]} before i
    [[ $part == *[:=] ]] && part=
    before=${1%"$part"}
    before=${before#--*=}
    if [[ $before && $before != --* ]]; then
        for i in "${!COMPREPLY[@]}"; do
            COMPREPLY[i]=${COMPREPLY[i]#"$before"}
        done
    fi
}

complete -F _fail2ban fail2ban fail2ban-client fail2ban-server fail2ban-regex
