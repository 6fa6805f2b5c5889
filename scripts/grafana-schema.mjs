// Run by grafana-schema.sh: node grafana-schema.mjs FOLDER DASHBOARD...
//
// The types become JSON schemas, and each part of a dashboard is held to its own. Objects may
// have no key that the types do not name.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Ajv } from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';

const [folder, ...files] = process.argv.slice(2);
const PANELS = {
  heatmap: 'Heatmap',
  stat: 'Stat',
  'state-timeline': 'StateTimeline',
  table: 'Table',
  timeseries: 'TimeSeries',
};

// What the types do not tell, or tell otherwise than Grafana does: a pattern for each.
const EXPECTED = [
  // These belong to the data source; an editor puts in what was chosen last.
  /annotations\/list\/\d+ .*"(expr|step|tagKeys|textFormat|titleFormat|useValueForTime)"$/,
  /templating\/list\/\d+ .*"definition"$/,
  /templating\/list\/\d+\/current .*"(text|value)"$/,
  // Required in the types, and defaulted where a panel is drawn.
  /stat options {2}.*required.*"(percentChangeColorMode|showPercentChange)"$/,
  /table options {2}.*required.*"frameIndex"$/,
  // For Grafana before 12.3, which reads pagination there.
  /table options {2}.*"footer"$/,
  // Set by the panel's own editor.
  /state-timeline custom {2}.*"spanNulls"$/,
];

function schemaOf(name, source) {
  const path = `${folder}/${name}.ts`;
  const tsconfig = `${folder}/${name}.json`;
  const compilerOptions = { module: 'nodenext', strict: true, skipLibCheck: true, types: [] };
  writeFileSync(path, source);
  writeFileSync(tsconfig, JSON.stringify({ compilerOptions, files: [`${name}.ts`] }));
  const options = { path, tsconfig, type: 'Parts', additionalProperties: false, expose: 'none' };
  return createGenerator(options).createSchema('Parts');
}

function newest() {
  const modules = Object.values(PANELS).map((name) => {
    const path = `${name.toLowerCase()}/panelcfg/x/${name}PanelCfg_types.gen`;
    return `import type * as ${name} from '@grafana/schema/dist/esm/raw/composable/${path}';`;
  });
  const parts = Object.entries(PANELS).flatMap(([kind, name]) => [
    `'${kind} options': ${name}.Options;`,
    // A stat has none of its own.
    `'${kind} custom': ${name === 'Stat' ? '{}' : `${name}.FieldConfig`};`,
  ]);
  const dashboard = "import type { Dashboard } from '@grafana/schema';";
  return schemaOf(
    'newest',
    `${dashboard}\n${modules.join('\n')}\nexport interface Parts { dashboard: Dashboard; ${parts.join(' ')} }\n`,
  );
}

function oldest() {
  return schemaOf(
    'oldest',
    "import type { Dashboard } from 'oldest';\nexport interface Parts { dashboard: Dashboard }\n",
  );
}

function* parts(dashboard) {
  yield ['dashboard', dashboard];
  for (const panel of dashboard.panels.filter(({ type }) => type !== 'row')) {
    const custom = panel.fieldConfig.defaults.custom ?? {};
    yield [`${panel.type} options`, panel.options];
    yield [`${panel.type} custom`, custom];
    for (const { id, value } of panel.fieldConfig.overrides.flatMap((o) => o.properties)) {
      const key = id.replace(/^custom\./, '');
      if (key !== id) yield [`${panel.type} custom`, { ...custom, [key]: value }];
    }
  }
}

const complaints = new Set();
const met = new Set();
for (const [line, schema] of [['newest', newest()], ['oldest', oldest()]]) {
  const ajv = new Ajv({ allErrors: true, strict: false }).addSchema(schema, 'parts');
  const known = schema.definitions.Parts.properties;
  for (const file of files) {
    for (const [part, value] of parts(JSON.parse(readFileSync(file, 'utf8')))) {
      if (!(part in known)) {
        if (line === 'newest') complaints.add(`${basename(file)}: ${part} has no type`);
        continue;
      }
      const place = encodeURIComponent(part);
      const validate = ajv.compile({ $ref: `parts#/definitions/Parts/properties/${place}` });
      validate(value);
      for (const { instancePath, message, params } of validate.errors ?? []) {
        const about = JSON.stringify(Object.values(params)[0] ?? '');
        const told = `${part} ${instancePath} ${message} ${about}`;
        const expected = EXPECTED.find((pattern) => pattern.test(told));
        if (expected) met.add(expected);
        else complaints.add(`${basename(file)} (${line}): ${told}`);
      }
    }
  }
}
for (const pattern of EXPECTED.filter((pattern) => !met.has(pattern))) {
  complaints.add(`no complaint is like ${pattern} any more`);
}
for (const complaint of complaints) console.error(complaint);
process.exit(complaints.size ? 1 : 0);
