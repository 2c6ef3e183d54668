import { Argument, type Command } from 'commander';

/** A command: its path, and the words that may follow. */
interface Words {
  path: string;
  words: string[];
}

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
  const cases = collect(program, '').map(
    ({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`,
  );
  return `${zsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_kubetun() {
  local path='' words='' i word
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      --lab) ((i++)) ;;
      -*) ;;
      *) case " ${paths(program).join(' ')} " in *" $path/$word "*) path="$path/$word" ;; esac ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _kubetun kubetun scripts/kubetun`;
}

function collect(command: Command, path: string): Words[] {
  const subcommands = command.commands.map((sub) => sub.name());
  const options = command.options.map((option) => option.long ?? option.short ?? '');
  const own = { path, words: [...subcommands, ...options, '--help'] };
  return [own, ...command.commands.flatMap((sub) => collect(sub, `${path}/${sub.name()}`))];
}

function paths(program: Command): string[] {
  return collect(program, '')
    .map(({ path }) => path)
    .filter((path) => path !== '');
}
