import { Argument, type Command } from 'commander';

/** `kubetun completion`: a shell script made from the commands. */
export function register(program: Command): void {
  program
    .command('completion')
    .description('print a completion script: source <(scripts/kubetun completion bash)')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh']))
    .action((shell: string) => console.log(completionScript(program, shell === 'zsh')));
}

/** A script that completes subcommands and options, in bash, which zsh understands too. */
export function completionScript(program: Command, zsh: boolean): string {
  const commands = collect(program, '');
  const cases = commands.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`);
  const paths = commands.map(({ path }) => path).filter((path) => path !== '');
  return `${zsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_kubetun() {
  local path='' words='' i word
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      --lab) ((i++)) ;;
      -*) ;;
      *) case " ${paths.join(' ')} " in *" $path/$word "*) path="$path/$word" ;; esac ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _kubetun kubetun scripts/kubetun`;
}

/** The path of each command, and the words that may follow. */
function collect(command: Command, path: string): { path: string; words: string[] }[] {
  const subcommands = command.commands.map((sub) => sub.name());
  const options = command.options.map((option) => option.long ?? option.short ?? '');
  const own = { path, words: [...subcommands, ...options, '--help'] };
  return [own, ...command.commands.flatMap((sub) => collect(sub, `${path}/${sub.name()}`))];
}
