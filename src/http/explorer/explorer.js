// Shows what this service serves. What the page is told, a token too, it forgets when it is closed: nothing is kept in the browser.

// Below which path the service is for this browser: a proxy may have it below one that the document does not know.
const home = new URL(".", location.href).pathname;

/** `document`, with the service below `home`. */
function at_home(document) {
  const schemes = Object.values(document.components?.securitySchemes ?? {});
  for (const flow of schemes.flatMap((scheme) => Object.values(scheme.flows ?? {}))) {
    flow.tokenUrl = home + flow.tokenUrl.slice(1);
  }
  document.servers[0].url = home;
  return document;
}

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#explorer",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [{ statePlugins: { spec: { wrapActions: { updateJsonSpec: (update) => (document) => update(at_home(document)) } } } }],
  layout: "BaseLayout",
  deepLinking: false,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  docExpansion: "list",
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
});
