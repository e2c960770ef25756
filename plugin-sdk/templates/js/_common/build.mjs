// Makes the component from plugin.js. `torana plugin build` runs it.
//
// Two engines run the same source. QuickJS is small: 1.7 MB, built in a second or two. StarlingMonkey has the web's APIs (URL,
// TextEncoder, crypto) and makes 12 MB:
//   npm install --save-dev @bytecodealliance/componentize-js@0.23.0 @bytecodealliance/jco@1.35.0
//   TORANA_JS_ENGINE=starlingmonkey npm run build
import { mkdir, readFile, writeFile } from 'node:fs/promises';

const [sourcePath, witPath, worldName, output] = ['plugin.js', 'wit', '{{kind}}', 'build/{{name}}.wasm'];

// Without WASI: a plugin has the imports of wit/ and no others.
const engines = {
  async quickjs() {
    const { componentize } = await import('componentize-qjs');
    const jsSource = await readFile(sourcePath, 'utf8');
    return componentize({ jsSource, jsPath: sourcePath, moduleRoot: '.', witPath, world: worldName, sync: true, stubWasi: true });
  },
  async starlingmonkey() {
    const { componentize } = await import('@bytecodealliance/componentize-js');
    return componentize({ sourcePath, witPath, worldName, disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'] });
  },
};

const { component } = await engines[process.env.TORANA_JS_ENGINE ?? 'quickjs']();
await mkdir('build', { recursive: true });
await writeFile(output, component);
console.log(`${output}: ${component.length} bytes`);
