package compose

// References returns the images that the services of a rendered docker-compose file name, in the file's order. The error is a
// [*RefusedError].
func References(dockerCompose string) ([]Reference, error) {
	a := &Agent{composeFile: "docker_compose_file"}
	if err := a.parseCompose([]byte(dockerCompose)); err != nil {
		return nil, err
	}
	references := make([]Reference, 0, len(a.services))
	for _, s := range a.services {
		reference, err := ParseReference(s.image)
		if err != nil {
			return nil, &RefusedError{a.composeFile, "services." + s.name + ".image", err.Error()}
		}
		references = append(references, reference)
	}
	return references, nil
}
